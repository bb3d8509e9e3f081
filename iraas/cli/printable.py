"""Text for a terminal: names of files may hold anything, and numbers have nouns."""


def counted(number: int, noun: str) -> str:
    """A number of things, in words: ``1 image``, ``2,000 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """A text that cannot steer a terminal: what is not printable is shown by its number."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)
