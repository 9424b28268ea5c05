"""Slots, tags and redirections."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.wire.fleet_urls import Spot
from quorate.wire.keys import Keyspace, plain, sessions_key
from quorate.wire.slots import (
    NOBODY,
    SLOTS,
    Redirection,
    SlotMap,
    guard_of,
    read_redirection,
    slot_of,
    spot_of,
    spread,
    tag_of,
)

HERE = Spot("10.0.0.1", 7000)


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        ("123456789", 12739),  # CRC16/XMODEM's own check value, 0x31C3
        ("{user1000}.following", slot_of("user1000")),
        ("foo{}{bar}", 8363),
        ("foo{{bar}}zap", slot_of("{bar")),
        ("foo{bar}{zap}", slot_of("bar")),
    ],
)
def test_a_key_lies_where_the_specification_says(key: str, slot: int) -> None:
    assert slot_of(key) == slot


@pytest.mark.parametrize(
    ("key", "tag"),
    [
        ("{shop.7}:S", "{shop.7}"),
        ("plain", ""),
        ("a{b}c{d}", "{b}"),
        ("open{ended", ""),
        ("empty{}", ""),
    ],
)
def test_the_tag_of_a_key(key: str, tag: str) -> None:
    assert tag_of(key) == tag


@given(st.text(min_size=1, max_size=40))
def test_the_guard_lies_in_the_slot_of_its_key(name: str) -> None:
    key = f"{{{plain(name)}}}:S"

    assert slot_of(guard_of(key)) == slot_of(key)
    assert guard_of(key) != key


@given(st.text(min_size=1, max_size=40), st.integers(1, 1024))
def test_what_belongs_together_lies_together(name: str, stripes: int) -> None:
    keys = Keyspace("shop", stripes)

    for tag in (keys.lock_tag(name), keys.queue_tag(name), keys.config_tag):
        assert slot_of(sessions_key(tag)) == slot_of(f"{tag}:l:h:{plain(name)}")
    assert keys.lock_tag(name) in keys.lock_tags
    assert len(set(keys.lock_tags)) == stripes


def test_locks_are_spread_evenly_enough_over_three_nodes() -> None:
    thirds = [slot_of(tag) * 3 // SLOTS for tag in Keyspace("shop", 64).lock_tags]

    assert min(thirds.count(third) for third in range(3)) >= 12


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("MOVED 3999 10.0.0.2:6381", Redirection("moved", 3999, "10.0.0.2:6381")),
        ("ASK 3999 10.0.0.2:6381", Redirection("ask", 3999, "10.0.0.2:6381")),
        ("MOVED 1 :6381", Redirection("moved", 1, "10.0.0.1:6381")),
        ("MOVED 1 ?:6381", Redirection("moved", 1, "10.0.0.1:6381")),
        ("MOVED 1 ::1:6381", Redirection("moved", 1, "[::1]:6381")),
        ("MOVED 1 node-1.example:6381", Redirection("moved", 1, "node-1.example:6381")),
        ("TRYAGAIN Multiple keys request", Redirection("again")),
        ("ERR unknown command", None),
        ("OOM command not allowed", None),
        ("", None),
    ],
)
def test_a_redirection_is_read(said: str, found: Redirection | None) -> None:
    assert read_redirection(said, HERE) == found


def test_a_nodes_name_is_its_spot() -> None:
    assert spot_of("10.0.0.1:7000") == HERE
    assert spot_of("[::1]:7000") == Spot("::1", 7000)
    assert str(spot_of("[::1]:7000")) == "[::1]:7000"


def test_a_map_with_one_slot_elsewhere() -> None:
    empty = SlotMap()
    one = empty.moved(7, "a:1")

    assert (empty.owner(7), one.owner(7), one.owner(8)) == (NOBODY, "a:1", NOBODY)
    assert (empty.owners, one.owners) == (frozenset(), {"a:1"})


def test_who_is_in_doubt_is_asked_last() -> None:
    assert spread(["a", "b", "a", "c"], ["a"]) == ["b", "c", "a"]
