"""The ``iraas`` command. Each subcommand has a module, calls a service and renders its result."""
