"""Keeping so many workers at work, whatever becomes of them."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest
from tests.unit.queue.fakes import FakeSession

from quorate.core.clock import Chance, SystemClock
from quorate.core.errors import QueueError
from quorate.queue import child as child_module
from quorate.queue import post as post_module
from quorate.queue import supervisor as module
from quorate.queue.child import Child, Letter
from quorate.queue.counts import WorkerTally
from quorate.queue.events import (
    TasksStranded,
    WorkerLost,
    WorkerRecycled,
    WorkerStalled,
    WorkerStarted,
    WorkerStopped,
)
from quorate.queue.orders import DRAIN, HURRY, event_report, report
from quorate.queue.post import Patience, Tools
from quorate.queue.recycling import Recycler, RecycleTerms
from quorate.queue.sights import WorkerState
from quorate.queue.supervisor import Lookout, Supervisor


class FakeProcess:
    """A process that a test ends."""

    pids = iter(range(1000, 100_000))

    def __init__(self, *, stubborn: bool = False) -> None:
        self.pid = next(self.pids)
        self.returncode: int | None = None
        self.signals: list[int] = []
        self.heard: list[bytes] = []
        self._gone = asyncio.Event()
        self._stubborn = stubborn
        self.reader = asyncio.StreamReader()

    def end(self, code: int) -> None:
        if self.returncode is None:
            self.returncode = code
            self._gone.set()
            self.reader.feed_eof()

    def says(self, what, value) -> None:
        self.reader.feed_data(report(what, value))

    def hears(self, word: bytes) -> None:
        self.heard.append(word)
        if not self._stubborn or word == HURRY:
            self.end(0)

    def terminate(self) -> None:
        self.signals.append(signal.SIGTERM)
        if not self._stubborn:
            self.end(0)

    def kill(self) -> None:
        self.signals.append(signal.SIGKILL)
        self.end(-9)

    async def wait(self) -> int:
        await self._gone.wait()
        assert self.returncode is not None
        return self.returncode


class FakeWriter:
    """The line to a child, which heeds what is said to it."""

    def __init__(self, process: FakeProcess | None = None) -> None:
        self.process = process
        self.closed = False

    def write(self, data: bytes) -> None:
        if self.process is not None:
            self.process.hears(data)

    def close(self) -> None:
        self.closed = True


class Nursery:
    """Makes children on demand; the test acts in their place."""

    def __init__(self) -> None:
        self.processes: list[FakeProcess] = []
        self.born = asyncio.Event()
        self.stubborn = False
        self.ready = True
        self.buried: list[tuple[str, str]] = []

    async def start(self, orders: bytes, clock, output=None) -> Child:
        process = FakeProcess(stubborn=self.stubborn)
        self.processes.append(process)
        if self.ready:
            process.says("session", ["{t}", f"s-{process.pid}"])
            process.says("ready", process.pid)
        self.born.set()
        return Child(process, process.reader, FakeWriter(process), clock)

    async def bury(self, tag: str, session: str) -> None:
        self.buried.append((tag, session))

    async def nth(self, number: int) -> FakeProcess:
        async with asyncio.timeout(3):
            while len(self.processes) < number:
                self.born.clear()
                await self.born.wait()
        return self.processes[number - 1]


@pytest.fixture
def nursery(monkeypatch) -> Nursery:
    nursery = Nursery()
    monkeypatch.setattr(Child, "start", nursery.start)
    monkeypatch.setattr(post_module, "LOOK_S", 0.01)
    return nursery


@pytest.fixture
async def supervisor(nursery, heard):
    supervisor = Supervisor(
        b"orders",
        Patience(grace_s=0.2, warned_at_s=0.5, max_stall_s=0.8),
        nursery.bury,
        Tools(heard.emit, SystemClock(), Chance(1)),
        Lookout(FakeSession(), "{t}"),
    )
    yield supervisor
    nursery.stubborn = False
    for process in nursery.processes:
        process.end(0)
    await supervisor.stop()


async def beat(process: FakeProcess) -> None:
    while process.returncode is None:
        process.says("beat", {"done_total": 1})
        await asyncio.sleep(0.02)


async def test_it_starts_so_many_and_waits_until_each_is_ready(supervisor, heard):
    await supervisor.start(3)

    assert len(supervisor.pids) == 3
    assert heard.count(WorkerStarted) == 3


async def test_a_child_that_dies_is_buried_and_replaced(supervisor, nursery, heard):
    await supervisor.start(1)
    first = nursery.processes[0]
    first.end(-9)

    lost = await heard(WorkerLost, pid=first.pid, exit_code=-9)
    await nursery.nth(2)

    assert nursery.buried == [("{t}", f"s-{first.pid}")]
    assert lost.rest_s <= 0.1


async def test_rests_grow_while_children_die_young(supervisor, nursery, heard):
    await supervisor.start(1)
    for number in (1, 2, 3, 4):
        (await nursery.nth(number)).end(7)
        await heard(WorkerLost)

    ceilings = [0.1, 0.2, 0.4, 0.8]
    rests = [event.rest_s for event in heard.all(WorkerLost)]
    assert all(rest <= top for rest, top in zip(rests, ceilings, strict=True))
    assert max(rests) > 0.1


async def test_a_silent_child_is_warned_of_and_then_killed(supervisor, nursery, heard):
    await supervisor.start(1)
    silent = nursery.processes[0]

    warned = await heard(WorkerStalled, killed=False)
    killed = await heard(WorkerStalled, killed=True)

    assert warned.pid == killed.pid == silent.pid
    assert silent.signals == [signal.SIGKILL]
    assert heard.count(WorkerStalled, pid=silent.pid) == 2


async def test_a_child_that_beats_is_left_alone(supervisor, nursery, heard):
    await supervisor.start(1)
    process = nursery.processes[0]
    beating = asyncio.ensure_future(beat(process))

    await asyncio.sleep(1.0)

    assert heard.count(WorkerStalled) == 0
    assert supervisor.tally().done_total == 1
    process.end(0)
    await beating


async def test_counts_of_children_that_died_are_kept(supervisor, nursery, heard):
    await supervisor.start(1)
    first = nursery.processes[0]
    first.says("beat", {"done_total": 5, "running": 2})
    await asyncio.sleep(0.05)
    first.end(1)
    await heard(WorkerLost)

    (await nursery.nth(2)).says("beat", {"done_total": 2, "running": 1})
    await asyncio.sleep(0.05)

    assert supervisor.tally() == WorkerTally(done_total=7, running=1)


async def test_stopping_lets_children_drain(supervisor, nursery, heard):
    await supervisor.start(2)

    await supervisor.stop()

    assert [process.heard for process in nursery.processes] == [[DRAIN]] * 2
    assert [process.signals for process in nursery.processes] == [[], []]
    assert heard.count(WorkerStopped) == 2
    assert heard.count(WorkerLost) == 0
    assert supervisor.pids == ()


async def test_who_drains_can_be_hurried(supervisor, nursery, heard):
    nursery.stubborn = True
    await supervisor.start(1)
    process = nursery.processes[0]
    stopping = asyncio.ensure_future(supervisor.stop())
    await asyncio.sleep(0.02)

    supervisor.hurry()
    await stopping

    assert (process.heard, process.signals) == ([DRAIN, HURRY], [])


async def test_each_post_tells_how_it_stands(supervisor, nursery, heard):
    await supervisor.start(1)
    process = nursery.processes[0]
    process.says("beat", {"done_total": 3, "rss_bytes": 7})
    await asyncio.sleep(0.05)

    (sight,) = supervisor.sights()

    assert (sight.pid, sight.state) == (process.pid, WorkerState.WORKING)
    assert (sight.tally.done_total, sight.rss_bytes) == (3, 7)
    process.end(1)
    await heard(WorkerLost)
    assert supervisor.sights()[0].state in (WorkerState.RESTING, WorkerState.STARTING)
    await supervisor.stop()
    assert supervisor.sights()[0].state is WorkerState.STOPPED


async def test_a_child_that_has_done_enough_is_replaced_one_at_a_time(nursery, heard):
    recycler = Recycler(RecycleTerms(after_tasks=10, above_bytes=1000))
    supervisor = Supervisor(
        b"orders",
        Patience(grace_s=0.2, warned_at_s=9, max_stall_s=9),
        nursery.bury,
        Tools(heard.emit, SystemClock(), Chance(1), recycler),
        Lookout(FakeSession(), "{t}"),
    )
    await supervisor.start(2)
    first, second = nursery.processes[:2]
    nursery.ready = False

    first.says("beat", {"claimed_total": 10, "rss_bytes": 5})
    gone = await heard(WorkerRecycled, pid=first.pid)
    third = await nursery.nth(3)
    second.says("beat", {"claimed_total": 1, "rss_bytes": 2**30})
    await asyncio.sleep(0.05)
    assert second.heard == []
    third.says("ready", third.pid)
    second.says("beat", {"claimed_total": 1, "rss_bytes": 2**30})

    assert "10 tasks" in gone.why
    assert "1024 MiB" in (await heard(WorkerRecycled, pid=second.pid)).why
    assert heard.count(WorkerLost) == 0
    (await nursery.nth(4)).says("ready", 4)
    await supervisor.stop()


async def test_a_recycled_child_that_does_not_end_is_killed(
    nursery, heard, monkeypatch
):
    monkeypatch.setattr(post_module, "BEYOND_GRACE_S", 0.05)
    nursery.stubborn = True
    recycler = Recycler(RecycleTerms(after_tasks=1))
    supervisor = Supervisor(
        b"orders",
        Patience(grace_s=0.05, warned_at_s=9, max_stall_s=9),
        nursery.bury,
        Tools(heard.emit, SystemClock(), Chance(1), recycler),
        Lookout(FakeSession(), "{t}"),
    )
    await supervisor.start(1)
    nursery.processes[0].says("beat", {"claimed_total": 1})

    await heard(WorkerLost, exit_code=-9)
    await nursery.nth(2)
    nursery.stubborn = False
    await supervisor.stop()


async def test_a_child_that_does_not_end_is_killed(
    supervisor, nursery, heard, monkeypatch
):
    monkeypatch.setattr(post_module, "BEYOND_GRACE_S", 0.05)
    nursery.stubborn = True
    await supervisor.start(1)
    process = nursery.processes[0]
    beating = asyncio.ensure_future(beat(process))

    await supervisor.stop()

    assert (process.heard, process.signals) == ([DRAIN], [signal.SIGKILL])
    await beating


async def test_a_child_that_cannot_begin_says_why_and_ends_all(
    supervisor, nursery, heard
):
    nursery.ready = False
    starting = asyncio.ensure_future(supervisor.start(2))
    second = await nursery.nth(2)
    nursery.processes[0].says("ready", 1)
    second.says("failed", "ImportError: no module named app")
    await asyncio.sleep(0.05)
    second.end(3)

    with pytest.raises(QueueError, match="no module named app"):
        await starting
    await supervisor.stop()
    assert supervisor.pids == ()


async def test_a_child_that_dies_without_a_word_is_told_by_its_code(
    supervisor, nursery
):
    nursery.ready = False
    starting = asyncio.ensure_future(supervisor.start(1))
    (await nursery.nth(1)).end(9)

    with pytest.raises(QueueError, match="exit code 9"):
        await starting


async def test_children_that_are_never_ready_are_given_up(
    supervisor, nursery, monkeypatch
):
    monkeypatch.setattr(module, "READY_WITHIN_S", 0.05)
    nursery.ready = False

    with pytest.raises(QueueError, match="not ready within"):
        await supervisor.start(1)
    await supervisor.stop()

    assert nursery.processes[0].signals[0] == signal.SIGTERM


async def test_events_of_children_are_passed_on(supervisor, nursery, heard):
    await supervisor.start(1)
    event = TasksStranded(queue="q", session="s", tasks=1)
    nursery.processes[0].reader.feed_data(event_report(event))
    nursery.processes[0].says("event", ["Unheard", {}])

    assert await heard(TasksStranded) == event


async def test_a_line_that_breaks_is_the_end(clock):
    process = FakeProcess()
    process.reader.set_exception(ConnectionResetError())
    child = Child(process, process.reader, FakeWriter(), clock)

    assert await child.hear(0.01) is Letter.END


async def test_a_child_is_heard_line_by_line(clock):
    process = FakeProcess()
    child = Child(process, process.reader, FakeWriter(), clock)
    assert await child.hear(0.01) is Letter.NOTHING
    process.says("failed", "why")
    assert await child.hear(0.01) is Letter.FAILED
    assert child.failure == "why"
    await clock.advance(3)
    assert child.silent_s == 3
    process.end(0)
    assert await child.hear(0.01) is Letter.END
    assert await child.over() == 0
    child.drain()
    child.kill()


async def test_a_child_that_lingers_is_killed(clock):
    process = FakeProcess()
    child = Child(process, process.reader, FakeWriter(), clock)

    assert await child.over(0.01) == -9


async def test_orders_go_through_the_line_and_not_through_arguments(monkeypatch, clock):
    started = {}

    async def start(*command, **options):
        started.update(command=command, options=options)
        return FakeProcess()

    monkeypatch.setattr(child_module.asyncio, "create_subprocess_exec", start)

    child = await Child.start(b'{"url":"redis://:secret@h"}\n', clock)

    assert "secret" not in json.dumps(started["command"])
    assert started["command"][1:3] == ("-m", "quorate.worker")
    assert len(started["options"]["pass_fds"]) == 1
    child._writer.close()


async def test_the_lookout_stays_inside():
    session = FakeSession()

    assert await Lookout(session, "{t}").tick() == session.terms.renew_every_s
