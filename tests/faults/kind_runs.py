"""L11: re-entrant locks, readers and writers, and semaphores, killed and stopped.

The same harm as in L2 and L3, judged by models of their own: holders never have more
permits than there are, and no writer is inside with anybody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.faults.fleet import Crew
from tests.faults.lock_judge import (
    CheckedMutex,
    CheckedReaders,
    CheckedSemaphore,
    noticed_after_s,
)
from tests.faults.lock_worker import PERMITS
from tests.faults.running import (
    Run,
    at_work,
    crew_of,
    notice,
    own_stops,
    quiesce,
    seconds_of,
)
from tests.faults.stage import CALM_S, Result, Stage, judged, nothing_left, told

from quorate.testing.checker import Model
from quorate.testing.hands import Killing, Pausing
from quorate.testing.nemesis import Hand, NemesisOptions

HARMS = 60
MODELS: dict[str, Callable[[], Model[Any]]] = {
    "reentrant": CheckedMutex,
    "readers": CheckedReaders,
    "semaphore": lambda: CheckedSemaphore(PERMITS),
}


def l11_other_kind(kind: str) -> Run:
    """Processes that use this kind are killed, and stand still."""

    async def run(stage: Stage) -> Result:
        server = stage.server()
        crew = crew_of(
            stage, Crew(kind=kind, names=6, hold_s=0.04, pieces=30, careless=0.3)
        )
        fleet = stage.fleet(crew, server.url)
        ttl_s = crew.terms.ttl_s
        options = NemesisOptions(
            duration_s=CALM_S + 3.1 * ttl_s,
            faults={name: tuple(fleet.workers) for name in ("kill", "pause", "stop")},
            every_s=0.3 * ttl_s,
            calm_s=CALM_S,
            shortest_s=0.1 * ttl_s,
            longest_s=2 * ttl_s,
        )
        hands: dict[str, Hand] = {
            "kill": Killing(fleet.workers),
            "pause": Pausing(fleet.workers),
            "stop": own_stops(fleet),
        }
        async with at_work(fleet):
            fleet.work()
            await stage.harm(stage.sized(HARMS, 4), options, hands)
            await quiesce(fleet, ttl_s + 1.0)
            left = await nothing_left(server, "faults", ttl_s + 1.0)
        history = stage.history()
        soon_s, unnoticed = noticed_after_s(history, ttl_s + 0.1)
        verdicts = judged(stage, history, model=MODELS[kind]()) | {
            "leftovers": left, "notice": notice(soon_s, unnoticed),
        }  # fmt: skip
        numbers = told(history, fleet) | {
            "noticed after going on, p50 / p99 / max": seconds_of(soon_s),
        }
        title = f"{kind}: holders killed and stopped"
        return stage.result(f"L11 {kind}", title, verdicts, numbers)

    return run
