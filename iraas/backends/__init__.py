"""Adapters of the ports to the technologies that carry them: memory, local and aws."""
