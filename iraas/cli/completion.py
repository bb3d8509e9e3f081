"""Completion of the values of options that have few."""

from collections.abc import Callable, Mapping


def _one_of(*values: str) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete


COMPLETIONS: Mapping[str, Callable[[str], list[str]]] = {
    "backend": _one_of("local", "aws"),
    "pricing": _one_of("spot", "on-demand", "spot,on-demand"),
}
"""The completion of an option's value, by the name of its setting."""
