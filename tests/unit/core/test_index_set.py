"""An index set against Python's own set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iraas.core.index_set import IndexSet

indexes = st.integers(0, 60)
steps = st.lists(st.tuples(st.booleans(), indexes), max_size=80)


def ranges_of(numbers: set[int]) -> IndexSet:
    found = IndexSet()
    for number in numbers:
        found.add(number)
    return found


@given(steps)
def test_it_holds_what_a_set_would_hold(actions: list[tuple[bool, int]]) -> None:
    ranges, model = IndexSet(), set[int]()
    for adds, index in actions:
        if adds:
            assert ranges.add(index) == (index not in model)
            model.add(index)
        else:
            assert ranges.discard(index) == (index in model)
            model.discard(index)
        assert list(ranges) == sorted(model)
        assert len(ranges) == len(model)
    assert [index for index in range(70) if index in ranges] == sorted(model)


@given(st.sets(indexes), st.sets(indexes), st.integers(-1, 70), st.integers(0, 80))
def test_differences_are_those_of_sets(
    one: set[int], other: set[int], after: int, total: int
) -> None:
    ranges = ranges_of(one)
    assert list(ranges.minus(ranges_of(other), after)) == sorted(
        index for index in one - other if index > after
    )
    assert list(ranges.missing(total, after)) == [
        index for index in range(after + 1, total) if index not in one
    ]


@given(st.sets(st.integers(0, 10**8 - 1), max_size=60))
def test_an_encoded_set_is_decoded_equal(numbers: set[int]) -> None:
    text = ranges_of(numbers).encode(10_000)
    assert list(IndexSet.decode(text)) == sorted(numbers)


@given(st.sets(indexes), st.integers(0, 40))
def test_a_text_that_is_too_long_lacks_its_end_and_nothing_else(
    numbers: set[int], most: int
) -> None:
    text = ranges_of(numbers).encode(most)
    assert len(text) <= most
    kept = list(IndexSet.decode(text))
    assert kept == sorted(numbers)[: len(kept)]


@pytest.mark.parametrize(
    "text", ["-1", "1-", "3-1", "1,1", "5,2", "0-3,3", "a", "1 ", "1,,2", "0-100000000", "²"]
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"range|order"):
        IndexSet.decode(text)


@given(st.text(max_size=40))
def test_arbitrary_text_is_refused_or_decoded(text: str) -> None:
    try:
        found = IndexSet.decode(text)
    except ValueError:
        return
    assert len(found) >= 0
