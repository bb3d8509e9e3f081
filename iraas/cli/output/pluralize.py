"""Numbers with their nouns, for people."""


def pluralize(number: int, noun: str) -> str:
    """A number with its noun: ``1 image``, ``2,000 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
