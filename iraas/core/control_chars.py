"""Texts of others, such as names of files, for people to look at: in a terminal or a spreadsheet.

What programs read (JSON, JSON Lines) keeps them as they are.
"""

import re

_FORMULA = re.compile(r"""((?:^|[;,|])[\s"]*)([=+\-@\uff1d\uff0b\uff0d\uff20])""")
"""The beginning of a formula, also of one in a cell that begins where a spreadsheet of another
locale splits this one; the last four signs are the full-width ones, which some take for the same.
"""


def escape_control_chars(text: str) -> str:
    """A text that cannot steer a terminal nor turn what follows: what is not printable (control
    characters, ESC, marks of direction) is shown by its number.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)


def csv_text(text: str) -> str:
    """A text for a cell of a CSV file: printable, and nowhere taken for a formula. An apostrophe
    stands before the sign that would begin one.
    """
    return _FORMULA.sub(r"\1'\2", escape_control_chars(text))
