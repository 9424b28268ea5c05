"""The pure parts of the queue on RabbitMQ: names, delays, messages, what is known."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pamqp import commands as spec
from pamqp.header import ContentHeader

from quorate.core.errors import InvalidUrl
from quorate.queue.capabilities import Capability, lacking, too_long
from quorate.queue.model import QueueConfig
from quorate.queue.ports import Parcel
from quorate.queue.rabbit.delays import (
    LEVELS,
    LONGEST_S,
    delivery_exchange,
    entry,
    lane_pattern,
    level,
    levels_needed,
    routing_key,
    whole_seconds,
)
from quorate.queue.rabbit.letters import Record, fresh, lane_of, properties_of, read
from quorate.queue.rabbit.memory import Memory
from quorate.queue.rabbit.topology import (
    Topology,
    longest_attempt_s,
    relay_shape,
    short,
)
from quorate.wire.rabbit_place import read_rabbit_url

CONFIG = QueueConfig()


# -- topology --------------------------------------------------------------------------


def test_each_lane_is_a_quorum_queue_that_loses_nothing_to_the_dead():
    topology = Topology("t", "mail", CONFIG, (3, 10, 8))

    assert [lane.name for lane in topology.lanes] == [
        "t.mail.high", "t.mail.normal", "t.mail.low",
    ]  # fmt: skip
    arguments = topology.lanes[0].arguments
    assert arguments["x-queue-type"] == "quorum"
    assert arguments["x-dead-letter-strategy"] == "at-least-once"
    assert arguments["x-overflow"] == "reject-publish"
    assert arguments["x-dead-letter-routing-key"] == topology.dead.name
    assert "x-consumer-timeout" not in arguments


def test_a_newer_broker_is_told_how_long_a_task_may_take():
    lane = Topology("t", "mail", CONFIG, (3, 12, 0)).lanes[0]

    assert lane.arguments["x-consumer-timeout"] == 7 * 86_400_000
    assert longest_attempt_s((3, 12, 0)) > 6 * 86_400
    assert longest_attempt_s((3, 11, 9)) == 1740.0


def test_from_version_4_on_looking_at_the_dead_is_not_counted():
    old, new = (Topology("t", "q", CONFIG, version) for version in [(3, 13), (4, 0)])

    assert "x-delivery-limit" not in old.dead.arguments
    assert new.dead.arguments["x-delivery-limit"] == -1
    assert relay_shape("t", "q", 0, (4, 1)).arguments["x-delivery-limit"] == -1
    assert relay_shape("t", "q", 2, (3, 13)).name == "t.q.to-redis.low"


def test_long_names_become_short_and_stay_different():
    first, second = "a" * 300, "a" * 299 + "b"

    assert short(first) != short(second)
    assert max(len(short(first)), len(short(second))) <= 100
    assert short("plain") == "plain"


# -- delays ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delay_s", "seconds"), [(0, 0), (-1, 0), (0.01, 1), (1.0, 1), (61.2, 62)]
)
def test_a_delay_is_never_shorter_than_asked_for(delay_s, seconds):
    assert whole_seconds(delay_s) == seconds


def test_a_delay_has_a_longest():
    assert whole_seconds(1e12) == LONGEST_S
    assert levels_needed(LONGEST_S) == LEVELS


def waited(seconds: int) -> tuple[int, str]:
    """Follow the bindings as the broker does: seconds waited, and where it ends."""
    key = routing_key(seconds, "t.q.low").split(".")
    exchange, total = entry("t", seconds), 0
    while exchange != delivery_exchange("t"):
        index = int(exchange.rsplit(".", 1)[1])
        each = level("t", index)
        if matches(key, each.waits):
            total += int(each.arguments["x-message-ttl"]) // 1000
        else:
            assert matches(key, each.passes)
        exchange = each.onward
    assert matches(key, lane_pattern("t.q.low"))
    return total, exchange


def matches(key: list[str], pattern: str) -> bool:
    words = pattern.split(".")
    if words[-1] == "#":
        words = words[:-1]
        key = key[: len(words)]
    return len(key) == len(words) and all(
        word in ("*", part) for word, part in zip(words, key, strict=True)
    )


@pytest.mark.parametrize("seconds", [1, 2, 3, 5, 8, 60, 86_400, 1_234_567, LONGEST_S])
def test_a_message_waits_as_long_as_its_bits_say(seconds):
    assert waited(seconds) == (seconds, "t.delay.over")


# -- letters ---------------------------------------------------------------------------


def message(properties: spec.Basic.Properties) -> SimpleNamespace:
    return SimpleNamespace(
        header=ContentHeader(properties=properties), body=b"e", delivery_tag=7
    )


def test_a_record_travels_in_headers():
    record = Record(lane=2, turn=3, failures=1, crashes=2, bounces=4)

    letter = read(message(properties_of("id", record)), 2)

    assert (letter.id, letter.record, letter.envelope) == ("id", record, b"e")
    lease = letter.lease("s", 9, crashes=5)
    assert (lease.failures, lease.crashes, lease.bounces) == (1, 5, 4)
    assert (lease.session, lease.token, lease.lane) == ("s", 9, 2)


def test_a_fresh_task_has_a_clean_record():
    properties = fresh(Parcel("id", 1, 0.0, b"e"))

    assert properties.headers == {"q-lane": 1}
    assert (properties.message_id, properties.delivery_mode) == ("id", 2)


def test_the_first_return_is_forgiven_and_so_are_those_survived():
    letter = read(message(properties_of("id", Record(1, crashes=1))), 1)
    returned = type(letter)("id", letter.record, b"e", 3, letter.message)

    assert letter.crashes_but(0) == 1
    assert returned.crashes_but(0) == 3
    assert returned.crashes_but(2) == 1


def test_foreign_headers_do_no_harm():
    headers = {"q-turn": "x", "q-failures": True, "q-lane": -1, "q-crashes": None}
    properties = spec.Basic.Properties(headers=headers)

    letter = read(message(properties), 1)

    assert (letter.id, letter.record) == ("foreign-7", Record(1))
    assert lane_of(message(spec.Basic.Properties(headers={"q-lane": 9}))) == 1


# -- memory ----------------------------------------------------------------------------


def test_older_copies_are_stale_and_newer_ones_are_not():
    memory = Memory()
    memory.moved("a", 2)
    memory.over("b")

    assert memory.is_stale("a", 1)
    assert not memory.is_stale("a", 2)
    assert memory.is_stale("b", 1_000_000)
    assert not memory.is_stale("c", 0)


def test_the_memory_is_bounded():
    memory = Memory(most=2)
    for name in "abc":
        memory.over(name)
        memory.survived(name, 0)

    assert not memory.is_stale("a", 0)
    assert memory.is_stale("c", 0)
    assert (memory.no_crashes("a", 0), memory.no_crashes("c", 0)) == (0, 1)


# -- words -----------------------------------------------------------------------------


def test_what_is_missing_says_what_why_and_what_to_do():
    for error in (lacking(Capability.CANCEL), too_long(3600, 1740, "a task")):
        assert error.what
        assert error.why
        assert "queue_state" in error.fix


# -- addresses -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "host", "port", "vhost"),
    [
        ("amqp://localhost", "localhost", 5672, "/"),
        ("amqps://h", "h", 5671, "/"),
        ("amqp://u:p%2F@h:1/shop", "h", 1, "shop"),
        ("amqp://h/%2Fshop", "h", 5672, "/shop"),
    ],
)
def test_an_address_is_read(url, host, port, vhost):
    place = read_rabbit_url(url)

    assert (place.host, place.port, place.vhost) == (host, port, vhost)
    assert "p%2F" not in place.shown


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("amqp://", "names no host"),
        ("amqp://h:0", "port 0"),
        ("amqp://h:x", "not a valid URL"),
        ("amqp://h/a/b", "where none belongs"),
        ("amqp://h/#x", "where none belongs"),
        ("amqp://h/?heartbeat=1", "parameters"),
        ("amqp://user:hunter2@ho st", "space"),
        ("amqp://user:hunter2@h:port", "not a valid URL"),
    ],
)
def test_a_faulty_address_is_refused_without_its_password(url, part):
    with pytest.raises(InvalidUrl, match=part) as refused:
        read_rabbit_url(url)

    assert "hunter2" not in str(refused.value)
