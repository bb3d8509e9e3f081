"""The codec of the queues' messages: round trips and untrusted bodies."""

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from iraas.core.messages import (
    MAX_NAME_CHARACTERS,
    Request,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    fits_inline,
)
from iraas.core.outcomes import Outcome
from iraas.errors import MessageError, UnknownVersionError
from tests.unit.core.strategies import (
    any_texts,
    json_values,
    names,
    outcomes,
    plain_names,
    request_ids,
    requests,
    times,
)

REQUEST = Request(
    "01kb3v9x4q0000000000000000-00000007", "cat.jpg", 1.5, "submit-1", b"\xff\xd8\xff"
)
REPLY_BODY = encode_reply(
    Outcome(REQUEST.request_id, REQUEST.job_id, "a", None, "broken", "m", "w", 1, 1.0, 2.0)
)


def altered(body: str, **changes: Any) -> str:
    """The body with these fields replaced; a field that is set to `...` is left out."""
    value = json.loads(body) | changes
    return json.dumps({name: field for name, field in value.items() if field is not ...})


def paths_into(value: object) -> list[tuple[Any, ...]]:
    """The paths at which a JSON value can be replaced: itself and everything in it."""
    inside: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value))
    return [(), *((at, *rest) for at, one in inside for rest in paths_into(one))]


def replaced(value: Any, path: tuple[Any, ...], new: object) -> Any:
    if not path:
        return new
    value[path[0]] = replaced(value[path[0]], path[1:], new)
    return value


@given(requests)
def test_a_request_survives_the_queue(request: Request) -> None:
    assert decode_request(encode_request(request)) == request


@given(outcomes)
def test_an_outcome_survives_a_reply(outcome: Outcome) -> None:
    assert decode_reply(encode_reply(outcome)) == outcome


@given(requests, outcomes)
def test_bodies_are_ascii_so_that_characters_are_bytes(request: Request, outcome: Outcome) -> None:
    assert encode_request(request).isascii()
    assert encode_reply(outcome).isascii()


@given(st.binary(max_size=3000), names, request_ids, plain_names, times)
@example(b"", "\U0010ffff" * MAX_NAME_CHARACTERS, REQUEST.request_id, "z" * 64, 1e11)
@example(b"", "\x00" * MAX_NAME_CHARACTERS, REQUEST.request_id, "z" * 64, 1e11)
def test_an_inline_image_never_exceeds_the_message_limit(
    image: bytes, name: str, request_id: str, reply_to: str, submitted_at: float
) -> None:
    body = encode_request(Request(request_id, name, submitted_at, reply_to, image))
    smallest_limit = len(body) - 1
    assert not fits_inline(len(image), name, smallest_limit)


def test_an_ordinary_photograph_fits_a_limit_a_little_above_its_base64() -> None:
    assert fits_inline(30_000, "images/holiday/cat.jpg", 42_000)


@pytest.mark.parametrize("version", [0, 2, 1.5, -1, "1", None, True, [], {}, 10**30])
@pytest.mark.parametrize("decode", [decode_request, decode_reply])
def test_an_unknown_version_is_named(version: object, decode: Any) -> None:
    body = encode_request(REQUEST) if decode is decode_request else REPLY_BODY
    with pytest.raises(UnknownVersionError) as caught:
        decode(altered(body, v=version))
    assert str(version)[:20] in str(caught.value)
    assert "version 1" in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        "null",
        "[]",
        "1",
        '"request"',
        "{",
        "{}",
        '{"v":1}',
        '{"v":1,"kind":"request"}',
        "\x00",
        "\ud800",
        "[" * 200_000,
        '{"v":1,"kind":' + "[" * 200_000,
        "9" * 10_000,
        '{"v":' + "9" * 10_000 + "}",
        REPLY_BODY,
        "<xml/>",
        "x" * 1_000_000,
    ],
)
def test_a_body_that_is_no_request_is_a_message_error(body: str) -> None:
    with pytest.raises(MessageError):
        decode_request(body)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "reply"},
        {"request_id": ...},
        {"request_id": "../../etc/passwd"},
        {"request_id": REQUEST.request_id + "\n"},
        {"request_id": REQUEST.request_id.replace("7", "\u0667")},
        {"request_id": 7},
        {"name": ...},
        {"name": None},
        {"name": "x" * (MAX_NAME_CHARACTERS + 1)},
        {"name": "\ud800"},
        {"submitted_at": float("nan")},
        {"submitted_at": float("inf")},
        {"submitted_at": -1},
        {"submitted_at": 10**400},
        {"submitted_at": "1"},
        {"submitted_at": True},
        {"reply_to": ...},
        {"reply_to": "../other"},
        {"reply_to": "UPPER"},
        {"reply_to": "-"},
        {"image": "not base64!"},
        {"image": "YQ"},
        {"image": "猫"},
        {"image": None},
        {"image": 5},
        {"image": ...},
        {"input_key": "a/b.jpg"},
        {"image": ..., "input_key": "../up"},
        {"image": ..., "input_key": "/absolute"},
        {"image": ..., "input_key": ""},
        {"image": ..., "input_key": None},
        {"image": ..., "input_key": "a" * 513},
        {"image": ..., "input_key": "a//b"},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_a_request_with_a_wrong_field_is_a_message_error(changes: dict[str, Any]) -> None:
    with pytest.raises(MessageError):
        decode_request(altered(encode_request(REQUEST), **changes))


def test_an_image_beside_a_key_is_refused() -> None:
    body = altered(encode_request(REQUEST), input_key="a/b.jpg")
    with pytest.raises(MessageError, match="either an image or an input key"):
        decode_request(body)


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_nan_and_infinity_are_refused(name: str) -> None:
    for field in ("submitted_at", "completed_at"):
        body = REPLY_BODY.replace(f'"{field}":', f'"{field}":{name},"was":')
        with pytest.raises(MessageError):
            decode_reply(body)
    with pytest.raises(MessageError):
        decode_reply(REPLY_BODY.replace('"attempts":1', f'"attempts":{name}'))


@given(requests, st.data())
def test_a_truncated_request_is_a_message_error(request: Request, data: st.DataObject) -> None:
    body = encode_request(request)
    end = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(MessageError):
        decode_request(body[:end])


@given(requests, any_texts, st.data())
def test_a_corrupt_text_is_a_message_error_or_a_sound_request(
    request: Request, splinter: str, data: st.DataObject
) -> None:
    body = encode_request(request)
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(len(body), start + 20)))
    check_request(body[:start] + splinter + body[end:])


@given(requests, json_values, st.data())
def test_a_corrupt_value_is_a_message_error_or_a_sound_request(
    request: Request, new: object, data: st.DataObject
) -> None:
    value = json.loads(encode_request(request))
    path = data.draw(st.sampled_from(paths_into(value)))
    check_request(json.dumps(replaced(value, path, new)))


def check_request(body: str) -> None:
    with contextlib.suppress(MessageError):
        sound = encode_request(decode_request(body))
        assert encode_request(decode_request(sound)) == sound


@given(outcomes, json_values, st.data())
def test_a_corrupt_reply_is_a_message_error_or_a_sound_outcome(
    outcome: Outcome, new: object, data: st.DataObject
) -> None:
    value = json.loads(encode_reply(outcome))
    path = data.draw(st.sampled_from(paths_into(value)))
    body = json.dumps(replaced(value, path, new))
    with contextlib.suppress(MessageError):
        found = decode_reply(body)
        assert found.encode()
        sound = encode_reply(found)
        assert encode_reply(decode_reply(sound)) == sound


@given(any_texts)
def test_any_text_is_a_message_error(body: str) -> None:
    assume(not body.startswith("{"))
    with pytest.raises(MessageError):
        decode_request(body)
    with pytest.raises(MessageError):
        decode_reply(body)


def test_a_name_may_be_as_long_as_allowed_and_no_longer() -> None:
    longest = altered(encode_request(REQUEST), name="é" * MAX_NAME_CHARACTERS)
    assert len(decode_request(longest).name) == MAX_NAME_CHARACTERS


def test_the_image_travels_as_plain_base64() -> None:
    value = json.loads(encode_request(REQUEST))
    assert base64.b64decode(value["image"]) == REQUEST.image
    assert value["v"] == 1
    assert value["kind"] == "request"


def test_a_request_knows_its_job() -> None:
    assert REQUEST.job_id == "01kb3v9x4q0000000000000000"
