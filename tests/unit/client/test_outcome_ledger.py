"""One bit per request."""

from hypothesis import given
from hypothesis import strategies as st

from iraas.client.outcome_ledger import OutcomeLedger


@given(st.integers(0, 200), st.lists(st.integers(-10, 210)))
def test_it_contains_exactly_the_marked_indexes(total: int, marks: list[int]) -> None:
    ledger = OutcomeLedger(total)
    inside: set[int] = set()
    for index in marks:
        assert ledger.mark(index) == (0 <= index < total and index not in inside)
        inside |= {index} & set(range(total))
    assert ledger.concluded == len(inside)
    assert [index for index in range(total) if ledger.has(index)] == sorted(inside)
    assert list(ledger.missing()) == sorted(set(range(total)) - inside)
    assert ledger.is_complete == (len(inside) == total)


def test_a_large_job_fits_in_little_memory() -> None:
    assert len(OutcomeLedger(10**6)._bits) == 125_000
