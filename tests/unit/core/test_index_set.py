"""The set of places that is kept as ranges, against Python's own set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iraas.core.index_set import IndexSet

places = st.integers(0, 60)
steps = st.lists(st.tuples(st.booleans(), places), max_size=80)


def ranges_of(numbers: set[int]) -> IndexSet:
    found = IndexSet()
    for number in numbers:
        found.add(number)
    return found


@given(steps)
def test_it_holds_what_a_set_would_hold(actions: list[tuple[bool, int]]) -> None:
    ranges, model = IndexSet(), set[int]()
    for adds, place in actions:
        if adds:
            assert ranges.add(place) == (place not in model)
            model.add(place)
        else:
            assert ranges.discard(place) == (place in model)
            model.discard(place)
        assert list(ranges) == sorted(model)
        assert len(ranges) == len(model)
    assert [place for place in range(70) if place in ranges] == sorted(model)


@given(st.sets(places), st.sets(places), st.integers(-1, 70), st.integers(0, 80))
def test_differences_are_those_of_sets(
    one: set[int], other: set[int], after: int, total: int
) -> None:
    ranges = ranges_of(one)
    assert list(ranges.minus(ranges_of(other), after)) == sorted(
        place for place in one - other if place > after
    )
    assert list(ranges.missing(total, after)) == [
        place for place in range(after + 1, total) if place not in one
    ]


@given(st.sets(st.integers(0, 10**8 - 1), max_size=60))
def test_what_is_written_is_read_again(numbers: set[int]) -> None:
    text = ranges_of(numbers).encode(10_000)
    assert list(IndexSet.decode(text)) == sorted(numbers)


@given(st.sets(places), st.integers(0, 40))
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
def test_no_text_does_worse_than_be_refused(text: str) -> None:
    try:
        found = IndexSet.decode(text)
    except ValueError:
        return
    assert len(found) >= 0
