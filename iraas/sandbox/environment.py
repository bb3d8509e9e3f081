"""What a child process inherits of the environment: what is listed here, and nothing else."""

from collections.abc import Mapping

_RUNTIME = frozenset(
    {
        "LANG", "LANGUAGE", "TZ", "TMPDIR",
        "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH",
        "PYTHONPATH", "PYTHONHOME", "PYTHONUTF8",
    }
)  # fmt: skip
"""What the interpreter and its libraries need to run at all."""

_RUNTIME_PREFIXES = ("LC_", "OPENBLAS_", "OMP_", "MKL_", "ORT_")

_USER = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "PYTHONWARNINGS",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
        "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    }
)  # fmt: skip
"""What finds the user's folders and the way to the network."""

_USER_PREFIXES = ("XDG_",)
_AWS_PREFIXES = ("AWS_", "BOTO_")

INSTANCE_MARK = "IRAAS_INSTANCE_ID"
"""Names a worker of the local fleet in the environment of all its processes."""


def decoder_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that decodes images: no secret, no folder, no account.

    Args:
        environment: The parent's environment.
    """
    return _select(environment, _RUNTIME | {INSTANCE_MARK}, _RUNTIME_PREFIXES)


def user_environment(environment: Mapping[str, str], *, with_aws: bool = False) -> dict[str, str]:
    """The environment of a child process that works for the user: a worker, a controller.

    The settings of iraas are not in it: whoever starts the child adds those that it is to have.

    Args:
        environment: The parent's environment.
        with_aws: Whether the child works on AWS and needs what gives it access.
    """
    prefixes = (*_RUNTIME_PREFIXES, *_USER_PREFIXES, *(_AWS_PREFIXES if with_aws else ()))
    return _select(environment, _RUNTIME | _USER | {INSTANCE_MARK}, prefixes)


def _select(
    environment: Mapping[str, str], names: frozenset[str], prefixes: tuple[str, ...]
) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if name in names or name.startswith(prefixes)
    }
