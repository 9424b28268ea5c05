"""Handlers in processes of their own."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from quorate.core.errors import InvalidInput
from quorate.queue.aside import (
    Aside,
    FailedAside,
    ProcessDied,
    _error_of,
    own_process,
    runs_aside,
)
from quorate.queue.aside_process import Calls
from quorate.queue.decide import after_crash
from quorate.queue.handlers import Handlers
from quorate.queue.model import Lease, MoveKind


class Busy(Exception):
    retry_after_s = 7.0


@own_process
def work(number: int, *, times: int = 1) -> list[int]:
    return [os.getpid(), number * times]


@own_process
async def work_async(number: int) -> int:
    await asyncio.sleep(0)
    return number + 1


def fail(words: str) -> None:
    raise Busy(words)


def exit_now(_payload: None) -> None:
    os._exit(7)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def unfit(_payload: None) -> object:
    return object()


@pytest.fixture
async def aside():
    aside = Aside(1)
    yield aside
    aside.close()


async def test_a_process_is_used_again(aside):
    first = await aside.run(work, (2,), {"times": 3})
    second = await aside.run(work, (1,), {})

    assert (first[1], second[1]) == (6, 1)
    assert first[0] == second[0] != os.getpid()
    assert await aside.run(work_async, (1,), {}) == 2
    with pytest.raises(Busy, match="later") as failed:
        await aside.run(fail, ("later",), {})
    assert failed.value.retry_after_s == 7.0


async def test_the_death_of_a_process_is_told_and_the_next_task_has_another(aside):
    before = (await aside.run(work, (1,), {}))[0]

    with pytest.raises(ProcessDied, match="exit code 7"):
        await aside.run(exit_now, (None,), {})

    assert (await aside.run(work, (1,), {}))[0] != before


async def test_a_task_that_is_stopped_takes_its_process_along(aside):
    pid = (await aside.run(work, (1,), {}))[0]
    running = asyncio.ensure_future(aside.run(sleep, (60.0,), {}))
    await asyncio.sleep(0.05)

    running.cancel()
    await asyncio.wait([running])

    async with asyncio.timeout(3):
        while True:
            try:
                os.kill(pid, 0)
                await asyncio.sleep(0.01)
            except ProcessLookupError:
                break
    assert running.cancelled()


def calls(function, *args) -> dict:
    words = {
        "call": f"{__name__}:{function.__name__}", "main": (None, None), "path": [],
        "args": list(args), "kwargs": {},
    }  # fmt: skip
    return Calls().do(words)


def test_a_call_ends_with_a_value_or_with_an_error_in_words():
    assert calls(work, 2)["value"][1] == 2
    assert calls(work_async, 2) == {"value": 3}
    assert calls(fail, "x")["error"][1:] == ["Busy", "x", 7.0]
    assert calls(unfit, None)["error"][1] == "TypeError"


def test_an_error_whose_class_is_not_here_keeps_its_words():
    error = _error_of(["no.such:Error", "Error", "what happened", None])

    assert isinstance(error, FailedAside)
    assert str(error) == "Error: what happened"
    assert str(_error_of(["builtins:KeyError", "KeyError", "'a'", None]))


def test_what_runs_aside_is_named_and_takes_no_context():
    handlers = Handlers()

    assert handlers.add("work", work).runs_aside
    assert not handlers.add("fail", fail).runs_aside
    assert runs_aside(work_async)
    with pytest.raises(InvalidInput, match="cannot be named"):
        handlers.add("lambda", own_process(lambda payload: payload))

    def with_context(payload, context): ...

    with_context.__qualname__ = "work"
    with_context.__module__ = __name__
    with pytest.raises(InvalidInput):
        handlers.add("context", own_process(with_context))


def test_a_crash_is_counted_apart_and_has_a_budget():
    lease = Lease("a", "s.1", 1, 1, b"", failures=2, crashes=1)

    again = after_crash(lease, 3, "exit code 7")
    assert (again.kind, again.record) == (MoveKind.BACK, (2, 2, 0))
    last = after_crash(lease._replace(crashes=2), 3, "exit code 7")
    assert last.kind is MoveKind.DEAD
    assert b"poison" in last.body
