"""The local backend: SQLite queues, directory stores and worker subprocesses."""
