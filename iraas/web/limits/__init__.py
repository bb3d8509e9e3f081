"""Limits on clients: rates, quotas, memory, backlog, log output."""
