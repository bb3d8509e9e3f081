"""The workload generator: many requesters at once, and what they see.

It is a client: of the web tier over HTTP, or of the request queue through the services.
"""
