"""Child processes: how they are started, what they inherit, and how those that decode are confined.

Every child of iraas is started through `commands` and `environment`. A child that decodes images
of strangers also confines itself (`confinement`, `limits`) before it reads the first one, and
talks to its parent in frames (`frames`, `process`).
"""
