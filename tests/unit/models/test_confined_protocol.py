"""Messages of a confined classifier process are untrusted: it may have been compromised."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iraas.core.outcomes import LabelScore, Prediction
from iraas.errors import (
    BrokenImageError,
    BundleError,
    ImageError,
    ImageTooLargeError,
    IraasError,
    MessageError,
    MissingExtraError,
    NotAnImageError,
)
from iraas.models.confined_protocol import (
    MAX_REASON_CHARS,
    Greeting,
    decode_answer,
    decode_greeting,
    encode_answer,
)

SCORES = st.lists(
    st.builds(LabelScore, st.text(st.characters(exclude_categories=["Cs"])), st.floats(0, 1)),
    min_size=1,
    max_size=5,
)


@given(SCORES)
def test_a_prediction_comes_back_exactly(scores: list[LabelScore]) -> None:
    prediction = Prediction(tuple(scores))
    assert decode_answer(encode_answer(prediction)) == prediction


@pytest.mark.parametrize("kind", [NotAnImageError, BrokenImageError, ImageTooLargeError])
def test_an_error_comes_back_with_its_kind_and_reason(kind: type[ImageError]) -> None:
    found = decode_answer(encode_answer(kind("cut off")))
    assert (type(found), str(found)) == (kind, "cut off")


def test_an_unknown_kind_of_error_and_an_endless_reason_are_handled() -> None:
    found = decode_answer(json.dumps({"error": "SystemExit", "reason": "x" * 10**6}).encode())
    assert type(found) is BrokenImageError
    assert len(str(found)) == MAX_REASON_CHARS


@pytest.mark.parametrize(
    "garbage",
    [
        b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"top": []}', b'{"top": [["a"]]}',
        b'{"top": [["a", 2]]}', b'{"top": [["a", NaN]]}', b'{"top": [["a", true]]}',
        b'{"top": [[1, 0.5]]}', b'{"top": [["\\ud800", 0.5]]}', b'{"error": "x", "reason": 1}',
        json.dumps({"top": [["a", 0.1]] * 6}).encode(),
    ],
)  # fmt: skip
def test_garbage_is_not_an_answer(garbage: bytes) -> None:
    with pytest.raises(MessageError):
        decode_answer(garbage)


@pytest.mark.parametrize(("missing", "kind"), [(True, MissingExtraError), (False, BundleError)])
def test_a_greeting_says_why_the_process_cannot_work(missing: bool, kind: type[IraasError]) -> None:
    said = {"error": "no", "remedy": "do this", "is_incomplete_install": missing}
    with pytest.raises(kind, match="no") as caught:
        decode_greeting(json.dumps(said).encode()).check()
    assert caught.value.remedy == "do this"


def test_a_good_greeting_raises_nothing() -> None:
    Greeting("model@1").check()
