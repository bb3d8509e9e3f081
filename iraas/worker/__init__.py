"""A worker: a supervisor process with one single-threaded classifier process per core below it.

``supervisor`` keeps the processes alive and decides when the worker stops; ``pipeline`` is the work
of each process: receive, read, classify, write, acknowledge.
"""
