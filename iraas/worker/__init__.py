"""A worker: a supervisor, and under it one single-threaded classifier process a core.

``supervisor`` keeps the processes alive and decides when the worker leaves; ``pipeline`` is what
each process runs; ``finishing`` holds the order of writes that makes every outcome happen once.
"""
