"""Escaping of untrusted text for terminals and spreadsheets."""

import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iraas.core.control_chars import csv_text, escape_control_chars

SIGNS = ("=", "+", "-", "@", "\uff1d")


@given(st.text())
def test_control_and_bidi_characters_are_escaped(text: str) -> None:
    for made in (escape_control_chars(text), csv_text(text)):
        assert not {unicodedata.category(one) for one in made} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize(
    "text", ["cat.jpg", "two words", "\u732b.jpg", "\u00e9t\u00e9", "a;b", "x-y=z"]
)
def test_a_plain_text_stays_as_it_is(text: str) -> None:
    assert escape_control_chars(text) == csv_text(text) == text


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize(
    "before",
    [
        "",
        ";",
        "a;",
        "a; ",
        "a,",
        "a|",
        "\t",
        "a\t",
        "\r",
        "a\r\n",
        "\n",
        ' "',
        'a;"',
        "\x1b",
        "\u202e",
    ],
)
def test_no_cell_begins_a_formula_wherever_a_spreadsheet_splits_it(before: str, sign: str) -> None:
    file = io.StringIO()
    csv.writer(file).writerow(["x", csv_text(f"{before}{sign}cmd()"), "y"])
    for delimiter in ",;\t|":
        for cells in csv.reader(io.StringIO(file.getvalue()), delimiter=delimiter):
            for cell in cells:
                assert not cell.strip(' "\t\r\n').startswith(SIGNS), (delimiter, cell)


def test_a_formula_is_shown_with_an_apostrophe_before_its_sign() -> None:
    assert csv_text("=1+1.jpg") == "'=1+1.jpg"
    assert csv_text("a;=1;-2") == "a;'=1;'-2"
    assert csv_text("\x1b[31m\u202egpj") == "\\x1b[31m\\x202egpj"
