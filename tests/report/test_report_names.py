"""Long names are shortened and stay apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fgic_core.report.names import distinct, shorten

LONG = ("Spotted Fan-tailed Hookbill", "Masked Spotted Fan-tailed Hookbill", "Masked Spotted Fan-tailed Finch")


def test_both_ends_of_a_long_name_are_kept() -> None:
    assert shorten("Masked Spotted Fan-tailed Hookbill", 20) == "Masked Spo…Hookbill"
    assert shorten("wren", 20) == "wren"


def test_names_that_differ_at_one_end_or_in_the_middle_stay_apart() -> None:
    middle = tuple(f"Great {colour} crested flycatcher of the islands" for colour in ("red", "blue", "grey"))
    for names in (LONG, middle, LONG * 2):
        short = distinct(names, 20)
        assert len(set(short)) == len(names)
    assert all(len(name) <= 22 for name in distinct(LONG, 20))


@given(st.lists(st.text(max_size=60), max_size=12, unique=True), st.integers(4, 30))
def test_shortened_names_are_short(names: list[str], most: int) -> None:
    assert all(len(name) <= 2 * most + 8 for name in distinct(names, most))
