"""The fault runs of locks, L1 to L11: real servers, real processes, real signals.

Each takes a stage and returns its result. The sizes are those of a full run at scale
1.0. What a run harms and what must hold nevertheless is said where it is made.
"""

from __future__ import annotations

from tests.faults.cancelling import l9_cancelled_everywhere
from tests.faults.failover_runs import l6_failover
from tests.faults.fleet import Crew
from tests.faults.kind_runs import l11_other_kind
from tests.faults.lock_judge import next_grants_s, noticed_after_s, percentile
from tests.faults.running import (
    Run,
    at_work,
    crew_of,
    none,
    notice,
    own_stops,
    perform,
    plan_of,
    quiesce,
    seconds_of,
    waits_s_of,
)
from tests.faults.server_runs import (
    l5_restarted_server,
    l7_clock_jumps,
    l7_sessions_ended,
)
from tests.faults.stage import (
    CALM_S,
    Result,
    Stage,
    judged,
    nothing_left,
    seconds,
    told,
)

from quorate.core.clock import Chance
from quorate.testing.hands import Doing, Killing, Pausing, Poisoning
from quorate.testing.nemesis import Hand, NemesisOptions
from quorate.testing.proxy import FaultProxy
from quorate.testing.toxics import Latency, LoseReply
from quorate.testing.verdict import Verdict

HOLDS = 100_000
KILLS = 500
PAUSES = 300
STALLS = 60
LOSSY_S = 150.0
WAITERS = 1_000
WITHIN_S = 600.0


async def l1_no_fault(stage: Stage) -> Result:
    """Nothing is harmed: a lock at full speed, also for who gives up or is stopped."""
    server = stage.server()
    fleet = stage.fleet(crew_of(stage, Crew(hold_s=0.002)), server.url)
    holds = stage.sized(HOLDS, 400)
    async with at_work(fleet):
        fleet.work(holds)
        await fleet.worked(WITHIN_S)
        await fleet.rest()
        left = await nothing_left(server, "faults", 5.0)
    history = stage.history()
    verdicts = judged(stage, history) | {"leftovers": left}
    return stage.result("L1", "no fault", verdicts, told(history, fleet))


async def l2_killed_holders(stage: Stage) -> Result:
    """Holders die by SIGKILL; the next gets in when the dead one's time is over."""
    server = stage.server()
    crew = crew_of(stage, Crew(hold_s=0.04))
    fleet = stage.fleet(crew, server.url)
    kills = stage.sized(KILLS, 3)
    async with at_work(fleet):
        fleet.work()
        await stage.harm(
            kills,
            plan_of("kill", fleet, every_s=0.7, lasts_s=(0.1, 0.3)),
            {"kill": Killing(fleet.workers)},
        )
        await quiesce(fleet, crew.terms.ttl_s + 1.0)
        left = await nothing_left(server, "faults", crew.terms.ttl_s + 1.0)
    history = stage.history()
    ttl_s = crew.terms.ttl_s
    took_s = next_grants_s(history, ttl_s)
    late = [s for s in took_s if s > ttl_s + 1.5]
    verdicts = judged(stage, history) | {
        "leftovers": left,
        "recovery": Verdict(
            "invalid" if late else "valid",
            len(took_s),
            f"{len(late)} took over {ttl_s + 1.5:g} s" if late else "",
        ),
    }
    numbers = told(history, fleet) | {
        "locks of the dead": len(took_s),
        "kill to next grant, p50 / p99 / max": seconds_of(took_s),
        "p99 within ttl + 0.5 s": percentile(took_s, 0.99) <= ttl_s + 0.5,
    }
    return stage.result("L2", "holders killed (SIGKILL)", verdicts, numbers)


async def l3_stopped_holders(stage: Stage) -> Result:
    """Processes stand still by SIGSTOP for half to three times the ttl and go on."""
    server = stage.server()
    crew = crew_of(stage, Crew(names=8, hold_s=0.04, pieces=30, careless=0.3))
    fleet = stage.fleet(crew, server.url)
    pauses = stage.sized(PAUSES, 3)
    ttl_s = crew.terms.ttl_s
    options = NemesisOptions(
        duration_s=CALM_S + 3.1 * ttl_s,
        faults={name: tuple(fleet.workers) for name in ("pause", "stop")},
        every_s=0.3 * ttl_s,
        calm_s=CALM_S,
        shortest_s=0.5 * ttl_s,
        longest_s=3 * ttl_s,
    )
    async with at_work(fleet):
        fleet.work()
        hands: dict[str, Hand] = {
            "pause": Pausing(fleet.workers),
            "stop": own_stops(fleet),
        }
        await stage.harm(pauses, options, hands)
        await quiesce(fleet, ttl_s + 1.0)
        left = await nothing_left(server, "faults", ttl_s + 1.0)
    history = stage.history()
    soon_s, unnoticed = noticed_after_s(history, ttl_s + 0.1)
    verdicts = judged(stage, history) | {
        "leftovers": left, "notice": notice(soon_s, unnoticed),
    }  # fmt: skip
    numbers = told(history, fleet) | {
        "holds ended by a stop": len(soon_s),
        "noticed after going on, p50 / p99 / max": seconds_of(soon_s),
    }
    return stage.result("L3", "holders stopped (SIGSTOP)", verdicts, numbers)


async def l4_stalled_loops(stage: Stage) -> Result:
    """A blocking call holds the event loop up beyond what the keeper covers."""
    server = stage.server()
    crew = crew_of(stage, Crew(names=8, hold_s=0.04, pieces=30, careless=0.3))
    fleet = stage.fleet(crew, server.url)
    stalls = stage.sized(STALLS, 4)
    terms = crew.terms
    shortest_s = terms.max_stall_s * 0.5
    longest_s = (terms.max_stall_s + terms.ttl_s) * 1.4
    chance = Chance(stage.seed)

    async def stall(name: str) -> None:
        # Half of them within what the keeper covers, half beyond all trust.
        beyond = terms.max_stall_s + terms.ttl_s + 0.2
        length_s = chance.choice((shortest_s, chance.uniform(beyond, longest_s)))
        fleet.workers[name].order("stall", length_s)

    async def heal(name: str) -> None:
        """It ends by itself."""

    async with at_work(fleet):
        fleet.work()
        options = plan_of("stall", fleet, every_s=1.5, lasts_s=(longest_s, longest_s))
        await stage.harm(stalls, options, {"stall": Doing(stall, heal)})
        await quiesce(fleet, terms.ttl_s + 1.0)
        left = await nothing_left(server, "faults", terms.ttl_s + 1.0)
    history = stage.history()
    soon_s, unnoticed = noticed_after_s(history, terms.max_stall_s + terms.ttl_s + 0.1)
    verdicts = judged(stage, history) | {
        "leftovers": left, "notice": notice(soon_s, unnoticed),
    }  # fmt: skip
    numbers = told(history, fleet) | {
        "holds ended by a stall": len(soon_s),
        "noticed after the stall, p50 / p99 / max": seconds_of(soon_s),
    }
    return stage.result("L4", "event loops stalled", verdicts, numbers)


async def l8_lost_replies(stage: Stage) -> Result:
    """One reply of ten is late or lost with its connection, of whatever request."""
    server = stage.server()
    crew = crew_of(stage, Crew(timeout_s=0.4))
    links = {
        f"link{number}": FaultProxy(server.url, seed=stage.seed + number, redis=True)
        for number in range(crew.processes)
    }
    for link in links.values():
        await link.start()
    fleet = stage.fleet(crew, *(link.url for link in links.values()))
    duration_s = max(5.0, LOSSY_S * stage.scale)
    options = NemesisOptions(
        duration_s=duration_s,
        faults={name: tuple(links) for name in ("cut", "silent", "late")},
        every_s=0.4, calm_s=CALM_S, shortest_s=0.5, longest_s=1.5,
    )  # fmt: skip
    try:
        async with at_work(fleet):
            fleet.work()
            hands: dict[str, Hand] = {
                "cut": Poisoning(links, lambda _: LoseReply(chance=0.1)),
                "silent": Poisoning(
                    links, lambda _: LoseReply(chance=0.1, swallow=True)
                ),
                "late": Poisoning(
                    links,
                    lambda x: Latency(latency_s=0.02 + 0.1 * x, jitter_s=0.02),
                ),
            }  # fmt: skip
            await stage.harm(0, options, hands)
            await quiesce(fleet, 1.0)
            left = await nothing_left(server, "faults", crew.terms.ttl_s)
    finally:
        for link in links.values():
            await link.stop()
    history = stage.history()
    verdicts = judged(stage, history) | {"orphan keys": left}
    numbers = told(history, fleet)
    numbers["replies lost"] = sum(link.stats().replies_lost for link in links.values())
    return stage.result("L8", "replies lost or late", verdicts, numbers)


async def l10_crowd(stage: Stage) -> Result:
    """Very many wait for one name at once: each is served, and a return wakes one."""
    server = stage.server()
    waiters = stage.sized(WAITERS, 200)
    crew = Crew(tasks=waiters // 4, names=1, hold_s=0.001, restless=False)
    fleet = stage.fleet(crew_of(stage, crew), server.url)
    async with at_work(fleet):
        await seconds(0.2)
        server.reset_stats()
        fleet.work(crew.tasks * 4)
        await fleet.worked(WITHIN_S)
        called = server.commandstats()
        await fleet.rest()
        left = await nothing_left(server, "faults", 5.0)
    history = stage.history()
    waits_s = waits_s_of(history)
    grants, messages = len(waits_s), called.get("publish", 0)
    missing = crew.tasks * 4 - grants
    unfair = max(waits_s) / max(percentile(waits_s, 0.5), 1e-9)
    verdicts = judged(stage, history) | {
        "leftovers": left,
        "starvation": none("starved", missing, grants),
        "wake-ups": none("beyond one a return", max(0, messages - grants), messages),
    }
    numbers = told(history, fleet) | {
        "longest wait / median wait": f"{unfair:.2f}",
        "wake-ups a grant": f"{messages / grants:.2f}",
        "requests a grant": f"{called.get('evalsha', 0) / grants:.2f}",
    }
    title = f"{crew.tasks * 4} waiters on one name"
    return stage.result("L10", title, verdicts, numbers)


RUNS: dict[str, Run] = {
    "L1": l1_no_fault,
    "L2": l2_killed_holders,
    "L3": l3_stopped_holders,
    "L4": l4_stalled_loops,
    "L5 none": l5_restarted_server("none"),
    "L5 everysec": l5_restarted_server("everysec"),
    "L5 always": l5_restarted_server("always"),
    "L6 default": l6_failover(safe=False),
    "L6 safe": l6_failover(safe=True),
    "L7 +1 h": l7_clock_jumps(3600),
    "L7 -1 h": l7_clock_jumps(-3600),
    "L7 ends": l7_sessions_ended,
    "L8": l8_lost_replies,
    "L9": l9_cancelled_everywhere,
    "L10": l10_crowd,
    "L11 reentrant": l11_other_kind("reentrant"),
    "L11 readers": l11_other_kind("readers"),
    "L11 semaphore": l11_other_kind("semaphore"),
}


async def run(name: str, stage: Stage) -> Result:
    """One of these runs."""
    return await perform(RUNS, name, stage)
