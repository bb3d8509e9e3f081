"""The ``iraas`` command: one file a subcommand. Parse, call one service, hand over to `render`."""
