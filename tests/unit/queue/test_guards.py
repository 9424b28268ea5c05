"""Guards: what they may be, and how they travel."""

from __future__ import annotations

import pytest

from quorate.core.errors import InvalidInput, InvalidName
from quorate.queue.envelope import Header, read_before, read_header, seal
from quorate.queue.guards import GUARDED, Rate, Slot, Unique, UniqueScope, guard_line

ALL = (
    Unique("u", UniqueScope.WINDOW, 1.5), Slot("user 42", limit=3), Rate(10, key="r"),
)  # fmt: skip


def test_guards_are_a_line_before_the_envelope():
    line = guard_line("work", None, ALL)

    assert line == b"!u|2|1500|u\x1fk|100000|1|r\x1fs|3|0|user 42\n"
    assert guard_line("work", None, (None, None, None)) == b""


def test_a_guarded_envelope_reads_like_any_other():
    plain = seal(Header("work"), {"a": 1}, 1000)
    guarded = seal(Header("work"), {"a": 1}, 1000, guard_line("work", None, ALL))

    assert read_header(guarded) == read_header(plain)
    assert guarded.startswith(GUARDED)
    assert not plain.startswith(GUARDED)


def test_what_came_before_a_guarded_task_is_read_like_any_other():
    header = Header("work", flow="p")
    plain = seal(header, {"a": 1}, 1000) + b"\nd7\nc"
    guarded = guard_line("work", None, ALL) + plain

    assert read_before(guarded) == read_before(plain)
    assert read_header(guarded) == read_header(plain)


def test_without_a_key_name_and_payload_make_it():
    def key(name: str, payload: object) -> bytes:
        return guard_line(name, payload, (Unique(), None, None))

    assert key("work", {"a": 1, "b": 2}) == key("work", {"b": 2, "a": 1})
    different = {key("work", 1), key("work", 2), key("other", 1), key("work", None)}
    assert len(different) == 4
    assert all(len(line) < 160 for line in different)


def test_a_rate_is_a_distance_and_a_burst():
    assert (Rate(100).interval_us, Rate(100).most_at_once) == (10_000, 10)
    assert (Rate(5, per_s=60).interval_us, Rate(5, per_s=60).most_at_once) == (
        12_000_000, 1,
    )  # fmt: skip
    assert Rate(100, burst=3).most_at_once == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: Unique("k", UniqueScope.WINDOW),
        lambda: Unique("k", UniqueScope.WINDOW, -1.0),
        lambda: Unique("k", UniqueScope.WINDOW, float("inf")),
        lambda: Unique("k", window_s=5.0),
        lambda: Slot("k", limit=0),
        lambda: Slot("k", limit=True),
        lambda: Slot("k", limit=10_000),
        lambda: Slot("k", limit=1.5),
        lambda: Slot("k", limit="2"),
        lambda: Unique("k", UniqueScope.WINDOW, "5"),
        lambda: Unique("k", "until_finished"),
        lambda: Rate(10, burst=1.5),
        lambda: Rate("10"),
        lambda: Rate(0.5),
        lambda: Rate(1, per_s=1e18),
        lambda: Rate(0),
        lambda: Rate(10, per_s=0),
        lambda: Rate(10, per_s=float("nan")),
        lambda: Rate(10, burst=-1),
        lambda: Rate(10**6, per_s=0.1),
    ],
)
def test_what_makes_no_sense_is_refused(make):
    with pytest.raises(InvalidInput):
        make()


@pytest.mark.parametrize("key", ["", "a\nb", "a\x1fb", " a", "x" * 300])
def test_a_key_is_a_name(key):
    with pytest.raises(InvalidName):
        guard_line("work", None, (None, Slot(key), None))


@pytest.mark.parametrize(
    "guards", [("u", None, None), (None, "s", None), (None, None, 5)]
)
def test_only_guards_are_guards(guards):
    with pytest.raises(InvalidInput, match="cannot be guarded"):
        guard_line("work", None, guards)
