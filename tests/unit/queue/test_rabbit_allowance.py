"""What RabbitMQ takes away after its consumer_timeout, and what is learned of it."""

from __future__ import annotations

import math

import aiormq
import pytest
from tests.unit.queue.fake_rabbit import FakeServer
from tests.unit.queue.test_rabbit_broker import NAME, Process

from quorate.core.errors import StoreRefused
from quorate.queue.rabbit.allowance import Allowance, TasksTakenAway

TAKEN = aiormq.exceptions.ChannelPreconditionFailed(
    "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout "
    "value used: 5000 ms. This timeout value can be configured, see consumers doc guide"
)


@pytest.fixture
def ann(clock, heard) -> Process:
    return Process(FakeServer(), clock, heard.emit)


def breaks(ann: Process, error: Exception) -> None:
    """The broker closes a channel for this reason."""
    channels = ann.wire.consuming.channels
    channel = channels.pop(1)
    channel.wire.give_back()
    for told in tuple(channel.close_callbacks):
        told(channel, error)


async def test_what_the_broker_says_when_it_takes_a_task_away_is_learned(ann, heard):
    await ann.takes(1)
    assert ann.place.longest_attempt_s() == 1740.0

    breaks(ann, TAKEN)

    assert ann.place.longest_attempt_s() == 2.5
    assert ann.queues.longest_attempt_s == 2.5
    assert heard.count(TasksTakenAway, queue="work", consumer_timeout_s=5.0) == 1
    assert ann.me not in ann.wire.roll


async def test_a_channel_that_breaks_for_another_reason_teaches_nothing(ann, heard):
    await ann.takes(1)

    breaks(ann, ConnectionError("cut"))

    assert ann.place.longest_attempt_s() == 1740.0
    assert heard.count(TasksTakenAway) == 0


def test_only_a_shorter_time_is_news_and_an_hour_is_spared_a_minute(heard):
    allowance = Allowance((3, 12, 0), heard.emit)

    for timeout_ms in (3_600_000, 7_200_000):
        said = f"acknowledgement on channel 3 timed out. Used: {timeout_ms} ms."
        allowance.heard("work", RuntimeError(said))

    assert allowance.longest_attempt_s == 3540.0
    assert allowance.longest_wait_s == 30.0
    assert heard.count(TasksTakenAway) == 1


async def test_what_waits_too_long_to_run_then_goes_back_as_a_fresh_copy(ann, clock):
    await ann.puts("a", "b")
    await ann.takes(1)
    ann.queues._allowance.longest_wait_s = 1.0

    await ann.broker.tidy()
    assert ann.broker.reception.depths == (0, 1, 0)
    await clock.advance(1.5)
    await ann.broker.tidy()

    (waiting,) = ann.wire.server.queues[NAME].messages
    assert (waiting.properties.message_id, waiting.returns) == ("b", 0)
    assert ann.broker.reception.depths == (0, 0, 0)


async def test_what_is_too_old_and_cannot_be_given_back_stays(ann, clock):
    await ann.puts("a", "b", "c")
    await ann.takes(1)
    ann.queues._allowance.longest_wait_s = 1.0
    ann.wire.server.refuses = True

    await clock.advance(1.5)
    with pytest.raises(StoreRefused):
        await ann.broker.tidy()

    letters = ann.broker.reception.taps[1].letters
    assert [letter.id for letter in letters] == ["b", "c"]


def test_nothing_is_too_old_as_long_as_nothing_was_taken_away(heard):
    assert Allowance((3, 10, 8), heard.emit).longest_wait_s == math.inf
