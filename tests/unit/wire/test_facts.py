"""What a server says of itself, and which servers are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quorate.core.errors import MissingCapability, StoreRefused, StoreUnavailable
from quorate.testing.heard import Heard
from quorate.wire.events import EvictionFeared
from quorate.wire.facts import ServerFacts, check_alone, check_fit, read_facts

GOOD = ServerFacts("redis", (7, 2, 4), "", "noeviction")
SHOWN = "redis://a:6379"


def test_replicas_are_read_from_info() -> None:
    facts = read_facts(
        "role:master\r\nconnected_slaves:3\r\ncluster_enabled:1\r\n"
        "slave0:ip=10.0.0.7,port=6380,state=online,offset=1,lag=0\r\n"
        "slave1:ip=::1,port=6381,state=wait_bgsave,offset=1,lag=0\r\n"
        "slave2:broken\r\n"
    )

    assert facts.replicas == (("10.0.0.7", 6380), ("::1", 6381))
    assert (facts.role, facts.in_cluster) == ("master", True)


def test_a_good_server_is_taken_in_silence(heard: Heard) -> None:
    check_fit(GOOD, SHOWN, heard.emit)
    check_alone(GOOD, SHOWN)

    assert heard.all(EvictionFeared) == []


def test_one_that_evicts_what_expires_is_taken_with_a_warning(heard: Heard) -> None:
    check_fit(replace(GOOD, eviction="volatile-lru"), SHOWN, heard.emit)

    [feared] = heard.all(EvictionFeared)
    assert (feared.server, feared.policy) == (SHOWN, "volatile-lru")


@pytest.mark.parametrize(
    ("facts", "error", "says"),
    [
        (replace(GOOD, version=(6, 2)), MissingCapability, "runs redis 6.2"),
        (
            ServerFacts("valkey", (7, 1), "", "noeviction"),
            MissingCapability,
            "valkey 7.2 or later",
        ),
        (
            ServerFacts("dragonfly", (6, 9), "", "noeviction"),
            MissingCapability,
            "dragonfly 7.0 or later",
        ),
        (replace(GOOD, eviction="allkeys-lfu"), StoreRefused, "evicts keys"),
    ],
)
def test_one_that_would_lose_locks_is_refused(
    facts: ServerFacts, error: type[Exception], says: str, heard: Heard
) -> None:
    with pytest.raises(error, match=says):
        check_fit(facts, SHOWN, heard.emit)


def test_one_that_cannot_stand_alone_is_refused() -> None:
    with pytest.raises(StoreRefused) as node:
        check_alone(replace(GOOD, in_cluster=True), SHOWN)
    with pytest.raises(StoreUnavailable, match="is a replica"):
        check_alone(replace(GOOD, role="slave"), SHOWN)

    assert "redis+cluster://" in node.value.fix
