"""Escaping untrusted texts, such as file names, for a terminal or a spreadsheet.

Machine-readable output (JSON, JSON Lines) keeps them unchanged.
"""

import re

_FORMULA = re.compile(r"""((?:^|[;,|])[\s"]*)([=+\-@\uff1d\uff0b\uff0d\uff20])""")
"""The start of a formula, also in a cell that starts after another locale's separator. The last
four signs are the full-width forms, which some spreadsheets treat alike.
"""


def escape_control_chars(text: str) -> str:
    """Replace each non-printable character (control characters, ESC, bidirectional marks) by its
    hexadecimal code point, so that the text cannot control a terminal.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def csv_text(text: str) -> str:
    """Escape a text for a CSV cell: printable, and with an apostrophe before each sign that a
    spreadsheet would take for the start of a formula.
    """
    return _FORMULA.sub(r"\1'\2", escape_control_chars(text))
