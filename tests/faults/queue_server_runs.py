"""Fault runs in which the server of the queue, or the way to it, is harmed.

Q6, Q7, Q10 and Q11 of the plan, and cut networks.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.faults.fake_clock import FakeClock
from tests.faults.queue_bugs import exchange_sha
from tests.faults.queue_crew import CALM, CONCURRENCY, QueueCrew, QueueFleet, a_producer
from tests.faults.queue_judge import account, overlaps, spread_ms, waits_s
from tests.faults.queue_stage import (
    judged,
    numbers_of,
    settled,
    short_tasks,
    strikes,
)
from tests.faults.running import Run, none
from tests.faults.stage import CALM_S, Result, Stage
from tests.fleets import SentinelSet
from tests.servers import Persistence

from quorate.core.clock import Chance
from quorate.core.errors import StoreRefused
from quorate.queue.model import Task
from quorate.queue.redis import broker
from quorate.testing.hands import Doing, Killing, Pausing, Poisoning
from quorate.testing.nemesis import Hand, NemesisOptions
from quorate.testing.proxy import FaultProxy
from quorate.testing.toxics import Down, LoseReply, Swallow

RESTARTS = 20
PAUSES = 20
FAILOVERS = 20
REPEATED = 20_000
DELAYED = 10_000
JUMPS = 8
CUTS = 30
EARLY_S = 0.1
LATE_S = 1.0
HOLD_S = 0.05


def q6_restarted_server(persistence: Persistence) -> Run:
    """The server is killed and comes back with what its persistence has kept."""

    async def run(stage: Stage) -> Result:
        server = stage.server(persistence=persistence)
        fleet = QueueFleet(stage, QueueCrew(processes=3, bugs=stage.bugs), server.url)
        restarts = stage.sized(RESTARTS, 2)
        async with a_producer(stage, server.url) as producer, fleet.at_work():
            plan = strikes("restart", ("server",), 1.2, (0.05, 0.4))
            hands = {"restart": Killing({"server": server})}
            harming = asyncio.ensure_future(stage.harm(restarts, plan, hands))
            make = short_tasks(producer, HOLD_S)
            await producer.feed_until(harming.done, make)
            await harming
            over = await settled(producer)
            await fleet.rest()
        history = stage.history()
        verdicts = judged(history, over, may_be_lost=persistence != "always")
        numbers = numbers_of(history, fleet) | {
            "calls that producers repeated": producer.repeated
        }
        title = f"server killed and restarted, persistence {persistence}"
        return stage.result(f"Q6 {persistence}", title, verdicts, numbers)

    return run


async def q6_paused_server(stage: Stage) -> Result:
    """The server stands still (SIGSTOP), longer than calls wait, and goes on."""
    server = stage.server()
    crew = QueueCrew(processes=3, timeout_s=0.5, bugs=stage.bugs)
    fleet = QueueFleet(stage, crew, server.url)
    async with a_producer(stage, server.url, 0.5) as producer, fleet.at_work():
        plan = strikes("pause", ("server",), 1.5, (0.2, 1.5))
        hands = {"pause": Pausing({"server": server})}
        harming = asyncio.ensure_future(stage.harm(stage.sized(PAUSES, 2), plan, hands))
        await producer.feed_until(harming.done, short_tasks(producer, HOLD_S))
        await harming
        over = await settled(producer)
        await fleet.rest()
    history = stage.history()
    numbers = numbers_of(history, fleet)
    title = "server stands still (SIGSTOP)"
    return stage.result("Q6 paused", title, judged(history, over), numbers)


async def q6_failover(stage: Stage) -> Result:
    """The master dies, Sentinel makes a replica the master: replication is
    asynchronous, so what the replica had not heard of is lost, and counted."""
    sentinels = SentinelSet(stage.directory / "sentinels")
    await asyncio.to_thread(sentinels.start)
    try:
        fleet = QueueFleet(
            stage, QueueCrew(processes=2, bugs=stage.bugs), sentinels.url
        )
        async with a_producer(stage, sentinels.url) as producer, fleet.at_work():
            harming = asyncio.ensure_future(
                _fail_over(stage, sentinels, stage.sized(FAILOVERS, 1))
            )
            await producer.feed_until(harming.done, short_tasks(producer, HOLD_S))
            await harming
            over = await settled(producer)
            await fleet.rest()
    finally:
        await asyncio.to_thread(sentinels.stop)
    history = stage.history()
    verdicts = judged(history, over, may_be_lost=True)
    numbers = numbers_of(history, fleet)
    title = "master killed, Sentinel fails over (asynchronous replication)"
    return stage.result("Q6 failover", title, verdicts, numbers)


async def _fail_over(stage: Stage, sentinels: SentinelSet, times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(1.0)
        with stage.recorder.operation("nemesis", {"action": "kill master"}) as killing:
            master = await asyncio.to_thread(lambda: sentinels.master)
            master.kill()
            while await asyncio.to_thread(lambda: sentinels.master) is master:
                await asyncio.sleep(0.05)
            killing.ok()
        await master.restart()
        await asyncio.sleep(2.0)


async def q7_enqueues_repeated(stage: Stage) -> Result:
    """Replies to enqueues are lost; whoever does not know asks again by the same id."""
    server = stage.server()
    crew = QueueCrew(processes=2, terms=CALM, bugs=stage.bugs)
    fleet = QueueFleet(stage, crew, server.url)
    proxy = FaultProxy(server.url, seed=stage.seed, redis=True)
    await proxy.start()
    tasks = stage.sized(REPEATED, 1_000)
    lose = LoseReply(of=broker._ENQUEUE.sha.encode(), chance=0.2)
    try:
        async with a_producer(stage, proxy.url) as producer, fleet.at_work():
            async with proxy.poisoned(lose):
                await producer.feed(tasks, short_tasks(producer, 0.0), batch=20)
            over = await settled(producer)
            await fleet.rest()
    finally:
        await proxy.stop()
    history = stage.history()
    numbers = numbers_of(history, fleet) | {
        "replies lost": proxy.stats().replies_lost,
        "calls repeated by who put in": producer.repeated,
    }
    verdicts = judged(history, over, most_duplicates=0)
    title = "replies to enqueues lost, asked again"
    return stage.result("Q7 enqueue", title, verdicts, numbers)


async def q7_exchanges_lost(stage: Stage) -> Result:
    """One answer of a hundred (in short runs: of ten) to a worker's exchange is lost:
    no task is stranded, and none runs twice."""
    server = stage.server()
    links = [
        FaultProxy(server.url, seed=stage.seed + number, redis=True)
        for number in range(2)
    ]
    for link in links:
        await link.start()
    urls = [link.url for link in links]
    crew = QueueCrew(
        processes=2, config={"roll_call_s": 60.0}, terms=CALM, bugs=stage.bugs
    )
    fleet = QueueFleet(stage, crew, *urls)
    chance = 0.01 if stage.scale >= 0.5 else 0.1
    lose = LoseReply(of=exchange_sha(stage.bugs), chance=chance)
    tasks = stage.sized(REPEATED, 1_500)
    try:
        async with a_producer(stage, server.url) as producer:
            for link in links:
                await link.add(lose)
            async with fleet.at_work():
                await producer.feed(tasks, short_tasks(producer, 0.001))
                # The next roll call, which would find what is stranded, is far away.
                over = await settled(producer, 4.0 if stage.bugs else 30.0)
                await fleet.rest()
    finally:
        for link in links:
            await link.stop()
    history = stage.history()
    numbers = numbers_of(history, fleet) | {
        "answers lost": sum(link.stats().replies_lost for link in links)
    }
    verdicts = judged(history, over, most_duplicates=0)
    return stage.result("Q7 exchange", "answers to exchanges lost", verdicts, numbers)


async def q7_network_cut(stage: Stage) -> Result:
    """Workers are cut off from the server: connections refused, or data swallowed."""
    server = stage.server()
    crew = QueueCrew(timeout_s=0.5, bugs=stage.bugs)
    links = {
        f"link{number}": FaultProxy(server.url, seed=stage.seed + number)
        for number in range(crew.processes)
    }
    for link in links.values():
        await link.start()
    fleet = QueueFleet(stage, crew, *(link.url for link in links.values()))
    ttl_s = crew.terms.ttl_s
    options = NemesisOptions(
        duration_s=CALM_S + 2 * ttl_s + 0.1,
        faults={"down": tuple(links), "silent": tuple(links)},
        every_s=0.8, calm_s=CALM_S, shortest_s=0.2, longest_s=1.8 * ttl_s,
    )  # fmt: skip
    hands: dict[str, Hand] = {
        "down": Poisoning(links, lambda _: Down()),
        "silent": Poisoning(links, lambda _: Swallow()),
    }
    try:
        async with a_producer(stage, server.url) as producer, fleet.at_work():
            cuts = stage.harm(stage.sized(CUTS, 3), options, hands)
            harming = asyncio.ensure_future(cuts)
            await producer.feed_until(harming.done, short_tasks(producer, HOLD_S))
            await harming
            over = await settled(producer)
            await fleet.rest()
    finally:
        for link in links.values():
            await link.stop()
    history = stage.history()
    faults = len(history.of("nemesis"))
    verdicts = judged(history, over, most_duplicates=2 * faults * CONCURRENCY)
    numbers = numbers_of(history, fleet) | {
        "two attempts at once": len(overlaps(history))
    }
    title = "workers cut off from the server"
    return stage.result("Q7 cut", title, verdicts, numbers)


def q10_delayed(offset_s: int = 0) -> Run:
    """Delayed tasks while workers die; or while the server's clock jumps and comes
    back. By a clock that jumps forward everything is due: then they come early, but
    once, and none is lost."""

    async def run(stage: Stage) -> Result:
        clock = FakeClock(stage.directory) if offset_s else None
        server = stage.server_with_a_clock(clock) if clock else stage.server()
        fleet = QueueFleet(stage, QueueCrew(processes=3, bugs=stage.bugs), server.url)
        tasks = stage.sized(DELAYED, 200)
        chance = Chance(stage.seed)
        delays: dict[str, float] = {}

        async def jump(to_s: int) -> None:
            assert clock is not None
            clock.set(to_s)
            await asyncio.to_thread(server.admin.ping)

        async with a_producer(stage, server.url) as producer, fleet.at_work():

            def make(count: int) -> list[Task]:
                made = [
                    *(
                        producer.tasks(
                            1,
                            payload={"work_s": 0.001},
                            delay_s=round(chance.uniform(0.3, 4.0), 3),
                        )[0]
                        for _ in range(count)
                    )
                ]
                delays.update({str(task.id): task.delay_s for task in made})
                return made

            hand: Hand = Killing(fleet.workers)
            targets, every_s, lasts_s = tuple(fleet.workers), 1.0, (0.05, 0.2)
            if offset_s:
                hand = Doing(lambda _: jump(offset_s), lambda _: jump(0))
                targets, every_s, lasts_s = ("server",), 2.5, (0.5, 1.5)
            plan = strikes("harm", targets, every_s, lasts_s)
            harming = asyncio.ensure_future(
                stage.harm(stage.sized(JUMPS, 2), plan, {"harm": hand})
            )
            while not harming.done() and len(delays) < tasks:
                await producer.put(make(50))
                await asyncio.sleep(0.2)
            await harming
            left_s = max(delays.values()) + LATE_S
            await asyncio.sleep(left_s if offset_s > 0 else 0.0)
            ahead = (await producer.queue.stats()).scheduled if offset_s > 0 else 0
            if ahead:
                # Put in while the clock was ahead: due when it is there again.
                await jump(offset_s)
            over = await settled(producer)
            await fleet.rest()
        history = stage.history()
        faults = len(history.of("nemesis"))
        late_s = [
            wait - delays[task] for task in delays for wait in waits_s(history, [task])
        ]
        early = sum(value < -EARLY_S for value in late_s)
        verdicts = judged(history, over, most_duplicates=faults * CONCURRENCY * 3)
        if not offset_s:
            verdicts["early"] = none("came early", early, len(late_s))
        numbers = numbers_of(history, fleet) | {
            "came early by more than 100 ms": early,
            "put in while the clock was ahead, due only then": ahead,
            "late by, p50 / p99 / max": spread_ms([max(0.0, s) for s in late_s]),
        }
        what = f"server's clock set {offset_s // 3600:+d} h" if offset_s else "killed"
        name = f"Q10 {offset_s // 3600:+d} h" if offset_s else "Q10"
        title = f"delayed tasks; {what if offset_s else 'workers killed'}"
        return stage.result(name, title, verdicts, numbers)

    return run


async def q11_full_server(stage: Stage) -> Result:
    """The server has no memory left: producers are told so, workers go on."""
    server = stage.server(options={"maxmemory": "12mb"})
    config = {"result_ttl_s": 5.0}
    crew = QueueCrew(processes=2, config=config, bugs=stage.bugs)
    fleet = QueueFleet(stage, crew, server.url)
    refusals: dict[str, int] = {}
    times = stage.sized(10, 2)
    async with a_producer(stage, server.url) as producer:
        for _ in range(times):
            ends_at = time.monotonic() + 20.0
            full = False
            while not full and time.monotonic() < ends_at:
                payload: dict[str, Any] = {"work_s": 0.0, "bulk": "x" * 20_000}
                some = producer.tasks(20, payload=payload)
                asked = [producer._noted(task) for task in some]
                try:
                    await producer.queue.enqueue_many(some)
                except StoreRefused as error:
                    refusals[error.code] = refusals.get(error.code, 0) + 1
                    full = True
                    for each in asked:
                        each.fail(str(error))
                else:
                    for each in asked:
                        each.ok()
            async with fleet.at_work():
                over = await settled(producer)
                await fleet.rest()
    history = stage.history()
    counted = account(history)
    verdicts = judged(history, over, most_duplicates=0) | {
        "refusal": none("refusals of another kind", _others(refusals), times)
    }
    numbers = numbers_of(history, fleet) | {
        "refusals": ", ".join(f"{code} {n}" for code, n in refusals.items()),
        "done although the server was full": counted.done,
    }
    return stage.result("Q11", "server without memory", verdicts, numbers)


def _others(refusals: dict[str, int]) -> int:
    return sum(n for code, n in refusals.items() if code != "OOM") + (not refusals)


RUNS: dict[str, Run] = {
    "Q6 always": q6_restarted_server("always"),
    "Q6 everysec": q6_restarted_server("everysec"),
    "Q6 paused": q6_paused_server,
    "Q6 failover": q6_failover,
    "Q7 enqueue": q7_enqueues_repeated,
    "Q7 exchange": q7_exchanges_lost,
    "Q7 cut": q7_network_cut,
    "Q10": q10_delayed(),
    "Q10 +1 h": q10_delayed(3600),
    "Q10 -1 h": q10_delayed(-3600),
    "Q11": q11_full_server,
}
