"""The environment variables that child processes inherit: those listed here, and no others."""

from collections.abc import Mapping

_RUNTIME = frozenset(
    {
        "LANG", "LANGUAGE", "TZ", "TMPDIR",
        "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH",
        "PYTHONPATH", "PYTHONHOME", "PYTHONUTF8",
    }
)  # fmt: skip
"""Needed by the interpreter and its libraries."""

_RUNTIME_PREFIXES = ("LC_", "OPENBLAS_", "OMP_", "MKL_", "ORT_")

_USER = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "PYTHONWARNINGS",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
        "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    }
)  # fmt: skip
"""The user's folders, and access to the network."""

_USER_PREFIXES = ("XDG_",)
_AWS_PREFIXES = ("AWS_", "BOTO_")

INSTANCE_ENV_VAR = "IRAAS_INSTANCE_ID"
"""Holds the instance id of a local fleet's worker, in the environment of all its processes."""


def decoder_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that decodes images: no secrets, folders or accounts.

    Args:
        environment: The parent's environment.
    """
    return _select(environment, _RUNTIME | {INSTANCE_ENV_VAR}, _RUNTIME_PREFIXES)


def user_environment(environment: Mapping[str, str], *, with_aws: bool = False) -> dict[str, str]:
    """The environment of a child process that works for the user: a worker, a controller.

    It lacks the settings of iraas; the caller adds those that the child needs.

    Args:
        environment: The parent's environment.
        with_aws: Whether to include the variables that give access to AWS.
    """
    prefixes = (*_RUNTIME_PREFIXES, *_USER_PREFIXES, *(_AWS_PREFIXES if with_aws else ()))
    return _select(environment, _RUNTIME | _USER | {INSTANCE_ENV_VAR}, prefixes)


def _select(
    environment: Mapping[str, str], names: frozenset[str], prefixes: tuple[str, ...]
) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if name in names or name.startswith(prefixes)
    }
