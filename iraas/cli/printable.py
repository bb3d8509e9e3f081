"""Making any text harmless on a terminal: names of files may hold anything."""


def printable(text: str) -> str:
    """A text that cannot steer a terminal: what is not printable is shown by its number."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)
