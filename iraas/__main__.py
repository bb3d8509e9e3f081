"""``python -m iraas``, and the ``iraas`` command."""

from iraas.cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
