"""Text for people: numbers have nouns."""


def pluralize(number: int, noun: str) -> str:
    """A number of things, in words: ``1 image``, ``2,000 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
