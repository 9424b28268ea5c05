"""The line before a lock on Consul: who holds, whom one waits for, names of keys."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.locks.answers import Ask
from quorate.locks.consul_line import (
    BLOCK,
    LEFT,
    READS,
    WRITES,
    Line,
    Place,
    explanation_of,
    folder_of,
    key_of,
    read_line,
    record_of,
    survey_of,
)
from quorate.locks.model import LockType
from quorate.wire.consul_calls import Entry

FOLDER = folder_of("shop", "a")


def entry(ident: str, created: int, flags: int = WRITES, **changes) -> Entry:
    said = {"session": f"{ident}.1", "owner": "o", "label": ident, "since": 90.0}
    given = {
        "key": key_of(FOLDER, ident),
        "value": json.dumps(said).encode(),
        "flags": flags,
        "session": "uuid",
        "created": created,
        "modified": created,
    } | changes
    return Entry(**given)


def line(kinds: str) -> Line:
    """A line of writers (w) and readers (r), named by their kind and place."""
    flags = {"w": WRITES, "r": READS}
    entries = [entry(f"{k}{n}", n + 1, flags[k]) for n, k in enumerate(kinds)]
    return read_line(FOLDER, reversed(entries))


@pytest.mark.parametrize(
    ("kinds", "holders"),
    [
        ("", []),
        ("w", ["w0"]),
        ("wwr", ["w0"]),
        ("wr", ["w0"]),
        ("r", ["r0"]),
        ("rrr", ["r0", "r1", "r2"]),
        ("rrwr", ["r0", "r1"]),
    ],
)
def test_the_first_writer_holds_or_all_readers_before_it(kinds, holders):
    assert [place.id for place in line(kinds).holders()] == holders


@pytest.mark.parametrize(
    ("kinds", "me", "before"),
    [
        ("w", "w0", None),
        ("ww", "w1", "w0"),
        ("www", "w2", "w1"),
        ("rw", "w1", "r0"),
        ("rrw", "w2", "r1"),
        ("r", "r0", None),
        ("rr", "r1", None),
        ("wr", "r1", "w0"),
        ("wrr", "r2", "w0"),
        ("wwrr", "r3", "w1"),
        ("rwrr", "r3", "w1"),
        ("rwrw", "w3", "r2"),
    ],
)
def test_one_waits_for_the_one_before_that_is_in_the_way(kinds, me, before):
    found = line(kinds)

    mine = found.find(me)

    assert mine is not None
    waits_for = found.before(mine)
    assert (waits_for.id if waits_for else None) == before


@given(st.text("rw", max_size=12))
def test_whoever_waits_for_nobody_holds_and_nobody_else_does(kinds):
    found = line(kinds)

    holders = {place.id for place in found.holders()}
    free = {place.id for place in found.places if found.before(place) is None}

    assert holders == free
    assert not found.places or holders
    shared = {place.shared for place in found.holders()}
    assert shared <= {True} or len(holders) == 1


@given(st.text("rw", min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_in_whatever_order_claims_end_tokens_grow_from_turn_to_turn(kinds, chance):
    """The tokens of who comes to hold only grow, and blocks do not overlap."""
    entries = [
        entry(f"{k}{n}", n + 1, WRITES if k == "w" else READS)
        for n, k in enumerate(kinds)
    ]
    held: list[Place] = []
    while entries:
        now = read_line(FOLDER, entries).holders()
        held += [place for place in now if place not in held]
        entries.remove(chance.choice(entries))

    tokens = [place.token for place in held]
    assert tokens == sorted(tokens)
    for earlier, later in itertools.pairwise(held):
        assert later.token > earlier.last_token


def test_a_writer_has_a_block_of_tokens_and_blocks_do_not_overlap():
    first, second = line("ww").places

    assert first.last_token - first.token == BLOCK - 1
    assert second.token > first.last_token


def test_a_reader_has_a_token_between_the_writers_around_it():
    before, reader, after = line("wrw").places

    assert before.last_token < reader.token == reader.last_token < after.token


def test_a_key_without_a_session_or_with_other_flags_is_no_claim():
    entries = [
        entry("a", 1, session=""),
        entry("b", 2, flags=0),
        entry("c", 3, flags=LEFT),
        entry("d", 4),
    ]

    found = read_line(FOLDER, entries)

    assert [place.id for place in found.places] == ["d"]
    assert found.left == {"c"}


@pytest.mark.parametrize("value", [b"", b"\xff", b"[]", b'{"since": "x"}', b"null"])
def test_a_claim_whose_record_cannot_be_read_still_has_its_place(value):
    (place,) = read_line(FOLDER, [entry("a", 1, value=value)]).places

    assert place.id == "a"
    assert place.session == "uuid"
    assert place.as_holder("a", now=5.0).held_s >= 0.0


def test_a_record_says_who_and_since_when():
    ask = Ask("a", "i", False, True, 0.0, "task-1", "the report ü")

    record = record_of(ask, "ann.1", now=12.3456)

    said = {"session": "ann.1", "owner": "task-1", "label": "the report ü"}
    assert json.loads(record) == {**said, "since": 12.346}


def test_an_explanation_has_holders_and_waiters_in_their_order():
    told = explanation_of("a", line("rwr"), now=100.0)

    (holder,), waiters = told.holders, told.waiters
    assert (holder.label, holder.session, holder.held_s) == ("r0", "r0.1", 10.0)
    assert [(w.label, w.lock_type, w.waited_s) for w in waiters] == [
        ("w1", LockType.EXCLUSIVE, 10.0),
        ("r2", LockType.SHARED, 10.0),
    ]
    assert told.token == holder.token
    assert explanation_of("a", line(""), now=0.0).is_free


def test_a_survey_counts_holders_and_waiters_of_each_lock():
    names = ["a", "b/c", "..", "x" * 250]
    entries = [
        entry("i", at, key=key_of(folder_of("shop", name), f"i{at}"))
        for at, name in enumerate(names + names[:2], start=1)
    ]
    entries.append(entry("z", 99, LEFT, key="shop/locks/gone/z"))
    entries.append(entry("z", 99, key="shop/other/thing"))

    lines = {found.name: found for found in survey_of("shop", entries)}

    assert lines.keys() >= {"a", "b/c", ".."}
    assert len(lines) == len(names)
    assert (len(lines["a"].holders), lines["a"].waiting) == (1, 1)
    assert (len(lines[".."].holders), lines[".."].waiting) == (1, 0)


AWKWARD = [
    "a", "A", "a/b", "a%2Fb", "a b", "a+b", ".", "..", "...", "%2E", "ü", "%C3%BC",
    "{x}", "a?b", "a#b", "a:b", "a\\b", "x" * 255, "x" * 254, "ü" * 127,
]  # fmt: skip


def test_no_name_has_the_folder_of_another():
    folders = [folder_of("shop", name) for name in AWKWARD]

    for one, other in itertools.permutations(folders, 2):
        assert not one.startswith(other), (one, other)


@pytest.mark.parametrize("name", AWKWARD)
def test_a_folder_is_one_step_of_a_path_and_short(name):
    step = folder_of("shop", name).removeprefix("shop/locks/").removesuffix("/")

    assert "/" not in step
    assert step.isascii()
    assert step not in (".", "..")
    assert not set(step) & set("?# \\")
    assert len(step) <= 200


@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
def test_two_names_are_two_folders(one, other):
    same = folder_of("shop", one) == folder_of("shop", other)

    assert same == (one == other)


def test_a_name_that_was_cut_leads_back_to_its_lock():
    name = "x" * 250
    (shown,) = survey_of(
        "shop", [entry("i", 1, key=key_of(folder_of("shop", name), "i"))]
    )

    assert folder_of("shop", shown.name) == folder_of("shop", name)
