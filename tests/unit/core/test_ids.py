"""Ids: creation, validation, parsing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iraas.core.ids import (
    MAX_JOB_SIZE,
    check_job_id,
    is_job_id,
    is_plain_name,
    job_time,
    new_ulid,
    request_id,
    split_request_id,
)
from iraas.errors import UsageError
from tests.unit.core.strategies import any_texts, indexes, job_ids, plain_names

milliseconds = st.integers(0, 2**48 - 1)
JOB = "01kb3v9x4q0000000000000000"


@given(milliseconds)
def test_a_ulid_is_a_job_id_of_26_characters(moment_ms: int) -> None:
    made = new_ulid(moment_ms / 1000)
    assert len(made) == 26
    assert is_job_id(made)
    assert is_plain_name(made)


@given(st.integers(0, 10**13), st.integers(1, 10**9), st.integers(0, 2**80 - 1))
def test_ulids_sort_by_time_whatever_their_random_part(
    moment_ms: int, later_ms: int, bits: int
) -> None:
    earlier = new_ulid(moment_ms / 1000, lambda _: 2**80 - 1)
    later = new_ulid((moment_ms + later_ms + 1) / 1000, lambda _: bits)
    assert earlier < later


@given(st.integers(0, 10**13))
def test_a_ulid_gives_its_time_back(moment_ms: int) -> None:
    assert job_time(new_ulid(moment_ms / 1000)) == pytest.approx(moment_ms / 1000, abs=0.0011)


def test_a_ulid_is_what_the_specification_says() -> None:
    """The example of https://github.com/ulid/spec: 01ARYZ6S41 is 1469918176385."""
    assert new_ulid(1469918176.3851, lambda _: 0) == "01aryz6s41" + 16 * "0"


def test_two_ulids_of_one_moment_differ() -> None:
    assert len({new_ulid(1.0) for _ in range(100)}) == 100


@given(job_ids, indexes)
def test_a_request_id_comes_apart_into_job_and_index(job_id: str, index: int) -> None:
    made = request_id(job_id, index)
    assert split_request_id(made) == (job_id, index)
    assert len(made) == 35


@given(job_ids, st.lists(indexes, min_size=2))
def test_request_ids_sort_by_index(job_id: str, indexes: list[int]) -> None:
    assert sorted(request_id(job_id, index) for index in indexes) == [
        request_id(job_id, index) for index in sorted(indexes)
    ]


@pytest.mark.parametrize("index", [-1, MAX_JOB_SIZE])
def test_an_index_beyond_a_job_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match="is not in"):
        request_id(JOB, index)


@given(any_texts)
def test_any_other_text_is_not_a_request_id(text: str) -> None:
    with pytest.raises(ValueError, match="is not a request id"):
        split_request_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        JOB,
        f"{JOB}-1",
        f"{JOB}-00000001\n",
        f"{JOB}-0000000\u0661",
        f"8{JOB[1:]}-00000001",
        f"{JOB.upper()}-00000001",
        f"{JOB}-00000001/..",
        f"../{JOB}-00000001",
    ],
)
def test_a_near_miss_is_not_a_request_id(text: str) -> None:
    with pytest.raises(ValueError, match="is not a request id"):
        split_request_id(text)


def test_a_job_id_may_be_typed_in_capitals_and_with_blanks_around() -> None:
    assert check_job_id(f" {JOB.upper()}\n") == JOB


@pytest.mark.parametrize("text", ["", "x", JOB[:-1], JOB + "0", "../../x", "u" * 26, "\x1b[2J"])
def test_an_invalid_job_id_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="is not a job id") as caught:
        check_job_id(text)
    assert "iraas jobs" in caught.value.remedy
    assert "\x1b" not in str(caught.value)


@given(plain_names)
def test_plain_names_are_recognised(name: str) -> None:
    assert is_plain_name(name)


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "A", "a.b", "a/b", "..", "a_b", "a b", "é", "a\n", "x" * 65, "\x00"]
)
def test_a_name_unsafe_for_a_path_or_a_resource_is_not_plain(name: str) -> None:
    assert not is_plain_name(name)
