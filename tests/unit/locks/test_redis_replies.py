"""Names and records as they look on a Redis server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.locks.answers import Ask
from quorate.locks.model import LockType
from quorate.locks.redis_replies import (
    key_name,
    read_granted,
    read_holder,
    read_queued,
    read_waiter,
    shown_name,
)

ASK = Ask("a", "me:1", False, True, 10.0, "o", "")
WHERE = ("{t}", "me.1")
RECORD = b"7\n0\n1000\nhost-1-ab.1\ntask-1\nthe report"


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=16))
def test_a_short_name_can_be_read_back_from_its_key(name):
    assert shown_name(key_name(name)) == name


@pytest.mark.parametrize("name", ["x" * 250, "ü" * 120, "{" * 255])
def test_a_long_name_leads_back_to_its_own_key(name):
    key = key_name(name)

    assert len(key) <= 200
    assert "{" not in key
    assert key_name(shown_name(key)) == key


def test_a_grant_without_a_hard_end_began_when_it_was_asked_for():
    granted = read_granted([b"granted", 5000, 7, 38, 0], ASK, WHERE, 100.0, echo=False)

    assert (granted.token, granted.last_token) == (7, 38)
    assert (granted.tag, granted.session) == WHERE
    assert granted.granted_at == 100.0


def test_a_grant_that_is_learnt_of_late_began_earlier():
    reply = [b"granted", 5000, 7, 38, 12_000]

    granted = read_granted(reply, ASK, WHERE, 100.0, echo=True)

    assert granted.granted_at == pytest.approx(100.0 - 3.0 * 1.01)
    assert granted.echo


def test_a_place_in_line_knows_the_first_hard_end():
    queued = read_queued(
        [b"queued", 5000, 5250, RECORD], ASK.name, WHERE, 1.0, echo=False
    )

    assert queued.look_in_s == 0.25
    assert queued.holder is not None
    assert queued.holder.label == "the report"
    assert queued.sighting.server_s == 5.0


def test_a_place_in_line_may_know_nothing():
    queued = read_queued([b"queued", 5000, 0, b""], ASK.name, WHERE, 1.0, echo=False)

    assert queued.look_in_s is None
    assert queued.holder is None


def test_a_holder_ends_with_its_session_or_before():
    by_session = read_holder("a", RECORD, 3000, 9.0)
    by_itself = read_holder("a", RECORD.replace(b"\n0\n", b"\n5000\n"), 3000, 9.0, b"s")

    assert by_session is not None
    assert (by_session.held_s, by_session.ends_in_s) == (2.0, 9.0)
    assert by_itself is not None
    assert by_itself.ends_in_s == 2.0
    assert by_itself.lock_type is LockType.SHARED


def test_a_waiter_is_alive_while_its_session_is():
    record = b"a\ns\n0\n1000\nhost-1-ab.1\ntask-1\n"

    waiter = read_waiter("a", record, 3000, 1)
    dead = read_waiter("a", record.replace(b"\ns\n", b"\nx\n"), 3000, 0)

    assert (waiter.lock_type, waiter.waited_s) == (LockType.SHARED, 2.0)
    assert waiter.is_alive
    assert not dead.is_alive
    assert dead.lock_type is LockType.EXCLUSIVE
