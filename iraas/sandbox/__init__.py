"""Child processes: command lines, inherited environment, and the confinement of decoders.

Every child of iraas is started through `commands` and `environment`. A child that decodes untrusted
images also confines itself (`confinement`, `limits`) before it reads the first one, and exchanges
frames with its parent (`frames`, `process`).
"""
