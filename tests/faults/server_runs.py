"""Fault runs in which the server of the locks is harmed: restarts, its clock, sessions.

L5 and L7 of the plan. A server without persistence forgets who holds what, and one
whose clock jumps ends what it should not: tokens must grow all the same, and the
protected resource must accept nothing stale.
"""

from __future__ import annotations

import asyncio

from tests.faults.fake_clock import FakeClock
from tests.faults.fleet import Crew
from tests.faults.lock_judge import losses_after_s
from tests.faults.running import Run, at_work, crew_of, none, quiesce, seconds_of
from tests.faults.stage import CALM_S, Result, Stage, judged, nothing_left, told
from tests.servers import Persistence

from quorate.testing.hands import Doing, Killing
from quorate.testing.nemesis import NemesisOptions

RESTARTS = 30
JUMPS = 30
LATE_S = 0.2
"""What a busy machine adds to a time that is judged."""


def l5_restarted_server(persistence: Persistence) -> Run:
    """The server is killed and comes back, with what its persistence has kept."""

    async def run(stage: Stage) -> Result:
        server = stage.server(persistence=persistence)
        crew = crew_of(stage, Crew(processes=3, names=8, hold_s=0.6, careless=0.3))
        fleet = stage.fleet(crew, server.url)
        restarts = stage.sized(RESTARTS, 2)
        async with at_work(fleet):
            fleet.work()
            options = NemesisOptions(
                duration_s=CALM_S + 1.0,
                faults={"restart": ("server",)},
                every_s=1.2,
                calm_s=CALM_S,
                shortest_s=0.05,
                longest_s=0.4,
            )
            await stage.harm(
                restarts, options, {"restart": Killing({"server": server})}
            )
            await quiesce(fleet, crew.terms.ttl_s + 1.0)
            left = await nothing_left(server, "faults", crew.terms.ttl_s + 1.0)
        history = stage.history()
        # Only a server that has written down each grant is asked for a mutex.
        verdicts = judged(stage, history, mutex=persistence == "always")
        title = f"server restarted, persistence {persistence}"
        verdicts["leftovers"] = left
        run_id = f"L5 {persistence}"
        return stage.result(run_id, title, verdicts, told(history, fleet))

    return run


async def l7_sessions_ended(stage: Stage) -> Result:
    """The server ends every session at once and tells nobody, as a clock that jumps
    forward does: who holds learns of it at its next renewal or request."""
    server = stage.server()
    # No passing inside the process: each grant asks the server.
    crew = crew_of(stage, Crew(processes=3, names=4, hold_s=0.03, passing_s=0.0))
    fleet = stage.fleet(crew, server.url)

    async def end_all(_: str) -> None:
        ending = stage.recorder.invoke("sessions_end", {})
        row = "{faults}:S"
        for name in server.admin.zrange(row, 0, -1):
            server.admin.zadd(row, {bytes(name): 0}, xx=True)  # type: ignore[arg-type]
        ending.ok()

    async def heal(_: str) -> None:
        """They join anew by themselves."""

    async with at_work(fleet):
        fleet.work()
        options = NemesisOptions(
            duration_s=CALM_S + 1.0,
            faults={"end": ("server",)},
            every_s=1.0, calm_s=CALM_S, shortest_s=0.1, longest_s=0.2,
        )  # fmt: skip
        await stage.harm(stage.sized(60, 3), options, {"end": Doing(end_all, heal)})
        await quiesce(fleet, crew.terms.ttl_s + 1.0)
        left = await nothing_left(server, "faults", crew.terms.ttl_s + 1.0)
    history = stage.history()
    verdicts = judged(stage, history) | {"leftovers": left}
    title = "all sessions ended by the server"
    return stage.result("L7 ends", title, verdicts, told(history, fleet))


def l7_clock_jumps(offset_s: int) -> Run:
    """The server's wall clock jumps by an hour, and some time later back again."""

    async def run(stage: Stage) -> Result:
        clock = FakeClock(stage.directory)
        server = stage.server_with_a_clock(clock)
        crew = crew_of(stage, Crew(processes=3, names=8, hold_s=1.0, passing_s=0.0))
        fleet = stage.fleet(crew, server.url)

        async def jump(to_s: int) -> None:
            jumping = stage.recorder.invoke("sessions_end", {})
            clock.set(to_s)
            await asyncio.to_thread(server.admin.ping)
            jumping.ok()

        async with at_work(fleet):
            fleet.work()
            options = NemesisOptions(
                duration_s=CALM_S + 1.0, faults={"jump": ("server",)},
                every_s=3.0, calm_s=1.0, shortest_s=1.0, longest_s=2.0,
            )  # fmt: skip
            hand = Doing(lambda _: jump(offset_s), lambda _: jump(0))
            await stage.harm(stage.sized(JUMPS, 2), options, {"jump": hand})
            await quiesce(fleet, crew.terms.ttl_s + 1.0)
            left = await nothing_left(server, "faults", crew.terms.ttl_s + 1.0)
        history = stage.history()
        noticed_s = losses_after_s(history)
        late = [s for s in noticed_s if s > crew.terms.ttl_s / 3 + LATE_S]
        verdicts = judged(stage, history) | {
            "leftovers": left,
            "notice": none("noticed later than ttl / 3", len(late), len(noticed_s)),
        }
        numbers = told(history, fleet) | {
            "holds ended by a jump": len(noticed_s),
            "noticed after the jump, p50 / p99 / max": seconds_of(noticed_s),
        }
        hours = f"{offset_s // 3600:+d} h"
        title = f"server's clock set {hours} and back"
        return stage.result(f"L7 {hours}", title, verdicts, numbers)

    return run
