"""Handlers that raise what nobody expects: their tasks end like any other."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.queue.fakes import FakeBroker, FakeSession, a_desk

from quorate.core.errors import InvalidInput
from quorate.core.lifecycle import Tasks
from quorate.queue.decide import LONGEST_ASKED_S, failure_of
from quorate.queue.envelope import Header, seal
from quorate.queue.handlers import Handlers
from quorate.queue.model import Lease, MoveKind, QueueConfig
from quorate.queue.patience import ErrorRule, RetryPolicy
from quorate.queue.running import Running

CONFIG = QueueConfig(retry=RetryPolicy(1))


class Odd(BaseException):
    """No Exception, as pytest's own outcomes are."""


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Unlikely(Exception):
    @property
    def retry_after_s(self) -> float:
        raise RuntimeError("no rest")


def raising(error):
    def work(payload):
        raise error

    async def work_async(payload):
        raise error

    return work, work_async


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (StopIteration(7), "StopIteration"),
        (Odd("odd"), "Odd: odd"),
        (Unreadable(), "Unreadable"),
        (Unlikely("rare"), "Unlikely"),
        (GeneratorExit(), "GeneratorExit"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("kind", [0, 1], ids=["in a thread", "async"])
async def test_a_task_ends_whatever_its_handler_raises(
    heard, clock, error, words, kind
):
    finished, over, handlers = [], asyncio.Event(), Handlers()
    handlers.add("work", raising(error)[kind])
    tasks = Tasks(heard.emit)
    desk = a_desk(FakeBroker(), FakeSession(), heard.emit, clock, CONFIG)
    running = Running(
        desk, handlers, tasks, lambda each: (finished.append(each), over.set())
    )

    running.admit(Lease("a", "p.1", 5, 1, seal(Header("work"), None, 1000)))

    async with asyncio.timeout(2):
        await over.wait()
    (only,) = finished
    assert only.move.kind is MoveKind.DEAD
    assert words in only.move.body.decode()
    assert len(running) == 0
    running.close()
    await tasks.close()


@pytest.mark.parametrize("asked", [float("inf"), 1e300, 10**400])
def test_nobody_rests_longer_than_a_year_because_an_error_asks_for_it(asked):
    error = ValueError("later")
    error.retry_after_s = asked  # type: ignore[attr-defined]

    assert failure_of(error, RetryPolicy()).retry_after_s == LONGEST_ASKED_S


@pytest.mark.parametrize(
    "make",
    [
        lambda: RetryPolicy(give_up_on="ValueError"),
        lambda: RetryPolicy(give_up_on=ValueError),
        lambda: RetryPolicy(give_up_on=[ValueError]),
        lambda: RetryPolicy(give_up_on=(ValueError, "no")),
        lambda: RetryPolicy(attempts=1.5),
        lambda: RetryPolicy(attempts="3"),
        lambda: ErrorRule("ValueError"),
        lambda: ErrorRule(ValueError, attempts=2.5),
    ],
)
def test_a_patience_that_would_fail_with_the_first_error_is_refused(make):
    with pytest.raises(InvalidInput):
        make()
