"""Who works is told to who looks, and seldom when there is nothing to tell."""

from __future__ import annotations

from types import SimpleNamespace

from quorate.core.errors import StoreUnavailable
from quorate.queue.crew import Nobody
from quorate.queue.lookup import Lookup
from quorate.queue.model import PRIORITIES, TaskPriority, TaskState
from quorate.queue.scribe import IDLE_S, Scribe, Signpost
from quorate.queue.sights import WorkerReport
from quorate.queue.story import told
from quorate.queue.tally import Tally
from quorate.queue.views import Explanation, QueueStats


class FakeCrew(Nobody):
    def __init__(self) -> None:
        self.reports: list[WorkerReport] = []
        self.uses = 0
        self.away = False

    async def report(self, mine):
        if self.away:
            raise StoreUnavailable("away")
        self.reports.append(mine)

    async def used(self):
        self.uses += 1


def a_scribe(clock) -> tuple[Scribe, FakeCrew, SimpleNamespace]:
    crew = FakeCrew()
    consumer = SimpleNamespace(session="host-7-abc.1", tally=Tally(), running=[])
    desk = SimpleNamespace(
        crew=crew, clock=clock, config=SimpleNamespace(concurrency=8)
    )
    return Scribe(desk, consumer), crew, consumer


async def test_it_tells_at_once_then_what_is_new_and_seldom_the_same(clock):
    scribe, crew, consumer = a_scribe(clock)
    await scribe.tick()
    consumer.tally.done, consumer.running = 10, [1]
    await clock.advance(2)
    await scribe.tick()
    consumer.running = []
    for _ in range(4):
        await clock.advance(2)
        await scribe.tick()

    assert [(each.running, each.rate) for each in crew.reports] == [(0, 0), (1, 5.0)]
    await clock.advance(IDLE_S)
    await scribe.tick()
    assert [each.rate for each in crew.reports] == [0, 5.0, 0]
    assert (crew.uses, crew.reports[0].process) == (1, "host-7")


async def test_what_could_not_be_told_is_told_next_time(clock):
    scribe, crew, _ = a_scribe(clock)
    crew.away = True
    await scribe.tick()
    crew.away = False

    await scribe.tick()

    assert len(crew.reports) == 1


async def test_queues_that_are_used_are_listed():
    crew = FakeCrew()
    lookup = Lookup(lambda _: None, ["configured"])
    rung = []
    lookup.on_new = lambda: rung.append(1)
    lookup.used("mail", "mail", "default")

    await Signpost(lambda: lookup.used_here, lambda _: crew).tick()

    assert (lookup.used_here, len(rung), crew.uses) == (("mail", "default"), 2, 2)


async def test_where_nothing_can_be_seen_nobody_is_seen():
    nobody = Nobody()
    await nobody.report(WorkerReport(session="s"))
    await nobody.leave("s")
    await nobody.used()

    assert (await nobody.who(), await nobody.queues()) == ((), ())
    assert await nobody.can("task") is None


def test_a_story_tells_the_past_and_then_what_keeps_the_task():
    empty = dict.fromkeys(PRIORITIES, 0)
    stats = QueueStats(
        queue="q", ready=empty, running=empty, scheduled=0, dead=0, shed_level=0,
        oldest_age_s=dict.fromkeys(PRIORITIES, None), paused=True,
    )  # fmt: skip
    crew = [WorkerReport(session="s", running=3, places=8, rate=2.0)]
    found = Explanation(
        id="a", state=TaskState.QUEUED, why="2 task(s) wait before it.", attempt=3,
        crashes=1, progress="Attempt 2 failed: boom", task="send",
        priority=TaskPriority.HIGH, age_s=7300.0,
    )  # fmt: skip

    story = told(found, stats, crew, can=True)

    assert story == (
        "It is for send, in the lane high, and was enqueued 2 h ago.",
        "2 attempt(s) failed.",
        "1 worker(s) died while they ran it: it runs alone now.",
        "Last told: Attempt 2 failed: boom",
        "2 task(s) wait before it.",
        "The queue is paused.",
        "1 worker(s) run 3 task(s) in 8 places and do 2 a second.",
    )
    assert "has a handler for send" in told(found, stats, crew, can=False)[-1]
    assert told(found, stats, (), can=None)[-1] == "No worker works on this queue."
