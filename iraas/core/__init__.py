"""The domain: messages, outcomes, jobs, ports, policies and settings; no I/O and no SDK."""
