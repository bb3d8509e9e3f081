"""Monitoring: the status, costs and history of a deployment, and the progress of its jobs."""
