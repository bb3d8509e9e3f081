"""The command line of a child process that runs a module of iraas."""

import os
import site
import sys


def module_command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module of iraas with this interpreter.

    Modules in the working directory, which is often an untrusted folder of images, are never
    imported. The interpreter runs isolated (``-I``), or only with a safe path (``-P``) where iraas
    may be installed through ``PYTHONPATH`` or the user's site-packages.

    Args:
        module: The module's name, such as ``iraas.cli.commands.classifier_process``.
        arguments: The arguments of the module.
    """
    return [sys.executable, "-I" if _can_be_isolated() else "-P", "-m", module, *arguments]


def _can_be_isolated() -> bool:
    uses_own_site = bool(site.ENABLE_USER_SITE) and site.getusersitepackages() in sys.path
    return not os.environ.get("PYTHONPATH") and not uses_own_site
