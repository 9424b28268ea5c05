"""L6: the primary is killed, frozen or cut off together with clients, and replaced.

By default a failover may lose the last grants, so a lock may be given twice; what is
promised is that tokens grow and that the protected resource accepts nothing stale. In
the safe mode (a confirming replica, `strict`, and a primary that stops writing without
replicas) it has to be a mutex, with no excuse for any fault.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import redis
from tests.faults.fleet import Crew
from tests.faults.lock_judge import overlaps
from tests.faults.running import Run, at_work, crew_of, quiesce
from tests.faults.stage import (
    CALM_S,
    Result,
    Stage,
    judged,
    nothing_left,
    seconds,
    told,
)
from tests.fleets import SERVICE, SentinelSet
from tests.servers import Server

from quorate.core.clock import Chance
from quorate.lease.lease import LeaseTerms
from quorate.testing.proxy import FaultProxy
from quorate.testing.toxics import Down

FAILOVERS = 50
SWITCHED_WITHIN_S = 30.0
TERMS = LeaseTerms(ttl_s=3.0, renew_every_s=0.5, retry_every_s=0.1, max_stall_s=3.0)
STOPS_WITHOUT_REPLICAS = {"min-replicas-to-write": "1", "min-replicas-max-lag": "1"}


async def comes_about(what: str, is_so: Callable[[], bool]) -> None:
    """Wait for other processes without stopping the loop."""
    async with asyncio.timeout(SWITCHED_WITHIN_S):
        while True:
            try:
                if await asyncio.to_thread(is_so):
                    return
            except (redis.RedisError, RuntimeError):
                pass  # whoever was asked is away
            await asyncio.sleep(0.05)


class Harm:
    """What is done to the primary of a Sentinel set, and its undoing."""

    def __init__(self, fleet: SentinelSet, links: list[FaultProxy]) -> None:
        self._fleet = fleet
        self._links = links
        self._inside: redis.Redis | None = None

    async def strike(self, how: str, primary: Server) -> None:
        if how == "kill":
            primary.kill()
        elif how == "freeze":
            primary.pause()
        else:
            for link in self._links:
                await link.add(Down())
            await asyncio.to_thread(self._cut_off, primary)

    async def heal(self, how: str, primary: Server) -> None:
        if how == "kill":
            await primary.restart()
        elif how == "freeze":
            primary.resume()
        else:
            for link in self._links:
                await link.clear()
            await asyncio.to_thread(self._let_in)

    def _cut_off(self, primary: Server) -> None:
        """Sentinels and replicas are thrown out and not let in; clients stay."""
        self._inside = redis.Redis(
            port=primary.port, single_connection_client=True, socket_timeout=5
        )
        ask = self._inside.execute_command
        ask("ACL", "SETUSER", "default", "resetpass", ">nobody knows".replace(" ", "-"))
        for client in self._inside.client_list():
            if client["name"].startswith("sentinel-"):
                self._inside.client_kill_filter(_id=client["id"])
        ask("CLIENT", "KILL", "TYPE", "replica")

    def _let_in(self) -> None:
        inside, self._inside = self._inside, None
        if inside is not None:
            inside.execute_command("ACL", "SETUSER", "default", "resetpass", "nopass")
            inside.close()


async def fail_over(
    stage: Stage, fleet: SentinelSet, harm: Harm, how: str, stays_s: float
) -> None:
    """One fault, until another is the primary and the former one is its replica."""
    primary = await asyncio.to_thread(lambda: fleet.master)
    harming = stage.recorder.invoke("nemesis", {"action": how, "target": "primary"})
    await harm.strike(how, primary)
    try:
        await comes_about("the switch", lambda: fleet.master is not primary)
        await seconds(stays_s)
    finally:
        await harm.heal(how, primary)
    harming.ok()
    await comes_about(
        "replication",
        lambda: (
            fleet.master.info("replication")["connected_slaves"]
            == len(fleet.servers) - 1
        ),
    )


def l6_failover(*, safe: bool) -> Run:
    """Failovers of all three sorts, one after the other."""

    async def run(stage: Stage) -> Result:
        fleet = await asyncio.to_thread(
            lambda: stage.sentinels(
                options=STOPS_WITHOUT_REPLICAS if safe else {},
                down_after_ms=2000 if safe else 1000,
            )
        )
        links = [
            FaultProxy(f"redis://127.0.0.1:{sentinel.port}", seed=stage.seed)
            for sentinel in fleet.sentinels
        ]
        for link in links:
            await link.start()
        hosts = ",".join(link.url.rpartition("/")[2] for link in links)
        crew = crew_of(
            stage,
            Crew(
                processes=4, tasks=4, names=8, hold_s=0.4, passing_s=0.0, terms=TERMS,
                careless=0.5, replicas=int(safe), strict=safe,
            ),
        )  # fmt: skip
        # Every other process hears of Sentinels only through what can be cut.
        workers = stage.fleet(crew, fleet.url, f"redis+sentinel://{hosts}/{SERVICE}")
        chance, harm = Chance(stage.seed), Harm(fleet, links)
        sorts = itertools.cycle(("kill", "freeze", "split"))
        try:
            async with at_work(workers):
                workers.work()
                await seconds(CALM_S + TERMS.ttl_s * safe)
                for _ in range(stage.sized(FAILOVERS, 3)):
                    stays_s = chance.uniform(0.5, 1.5) + TERMS.ttl_s * safe
                    await fail_over(stage, fleet, harm, next(sorts), stays_s)
                    await seconds(chance.uniform(0.3, 1.0))
                await quiesce(workers, 2 * TERMS.ttl_s + 2.0)
                left = await nothing_left(fleet.master, "faults", 2 * TERMS.ttl_s)
        finally:
            for link in links:
                await link.stop()
        history = stage.history()
        verdicts = judged(stage, history, mutex=safe) | {"leftovers": left}
        numbers = {"locks believed in twice": overlaps(history)}
        mode = "safe" if safe else "default"
        title = f"primary killed, frozen, cut off with clients ({mode} mode)"
        return stage.result(
            f"L6 {mode}", title, verdicts, told(history, workers) | numbers
        )

    return run
