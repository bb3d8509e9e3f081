"""The workload generator: concurrent requesters, and measurements of what they experience.

It is a client of the web tier over HTTP, or of the request queue through `iraas.client`.
"""
