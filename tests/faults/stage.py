"""One fault run: start, traffic with faults, heal, quiesce, drain, check.

A stage has a directory for the history, a seed from which everything is drawn, and the
servers and links of this run; all of it ends with the run. Safety is judged over the
whole history, liveness only after everything is healed.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.faults.fake_clock import FakeClock
from tests.faults.fenced_log import FencedLog, lost_adds
from tests.faults.fleet import Crew, Fleet
from tests.faults.lock_judge import (
    CheckedMutex,
    Excuse,
    by_name,
    excuses,
    mutex_operations,
    overlaps,
    percentile,
    tokens_grow,
)
from tests.fleets import Fleets, SentinelSet
from tests.servers import Server, Servers, ServerSettings

from quorate.testing.availability import availability
from quorate.testing.checker import Model, judge_each
from quorate.testing.history import History, Recorder, read_history
from quorate.testing.models import FencedRegister
from quorate.testing.nemesis import Hand, Nemesis, NemesisOptions, plan
from quorate.testing.verdict import Verdict

CALM_S = 0.5


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run. `verdicts` by what was judged; all must be valid."""

    run: str
    title: str
    seed: int
    took_s: float
    verdicts: Mapping[str, Verdict]
    numbers: Mapping[str, object]
    directory: str

    @property
    def ruling(self) -> str:
        rulings = {verdict.ruling for verdict in self.verdicts.values()}
        for ruling in ("invalid", "unknown"):
            if ruling in rulings:
                return ruling
        return "valid"

    @property
    def judged(self) -> int:
        return sum(verdict.judged for verdict in self.verdicts.values())

    @property
    def why(self) -> str:
        return "; ".join(
            f"{what}: {verdict.why}"
            for what, verdict in self.verdicts.items()
            if not verdict.is_valid
        )

    def save(self, directory: Path) -> None:
        told = asdict(self) | {"ruling": self.ruling}
        text = json.dumps(told, indent=1, default=str)
        (directory / "result.json").write_text(text, encoding="utf-8")


@dataclass(slots=True)
class Stage:
    """Where a run takes place."""

    directory: Path
    seed: int
    scale: float
    bugs: tuple[str, ...] = ()
    servers: list[Server] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    _servers: Servers | None = None
    _fleets: Fleets | None = None
    _recorder: Recorder | None = None

    def server(self, **settings: object) -> Server:
        """A fresh server of this run's own."""
        if self._servers is None:
            self._servers = Servers(self.directory / "servers")
        started = self._servers.start(ServerSettings(**settings))  # type: ignore[arg-type]
        self.servers.append(started)
        return started

    def sentinels(self, **how: Any) -> SentinelSet:
        """A fresh master with replicas and Sentinels of this run's own."""
        if self._fleets is None:
            self._fleets = Fleets(self.directory / "fleets")
        return self._fleets.sentinels("valkey", **how)

    def server_with_a_clock(self, clock: FakeClock) -> Server:
        """A fresh server that sees the time that `clock` says."""
        before = {name: os.environ.get(name) for name in clock.environment}
        os.environ.update(clock.environment)
        try:
            return self.server(kind="redis")
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    @property
    def recorder(self) -> Recorder:
        """For what the run itself does: the nemesis, and the last reading."""
        if self._recorder is None:
            self._recorder = Recorder(self.directory / "history", "run")
        return self._recorder

    def sized(self, full: int, least: int = 1) -> int:
        """So many of `full` at this scale, and never below `least`."""
        return max(least, round(full * self.scale))

    def fleet(self, crew: Crew, *urls: str) -> Fleet:
        return Fleet(crew, list(urls), self.directory, self.seed)

    async def harm(
        self, times: int, options: NemesisOptions, hands: Mapping[str, Hand]
    ) -> None:
        """Do harm at least so many times, by a plan from the seed."""
        schedule = plan(self.seed, options)
        while len(schedule.steps) < times:
            longer_s = options.duration_s + options.every_s
            options = replace(options, duration_s=longer_s)
            schedule = plan(self.seed, options)
        schedule.save(self.directory)
        await Nemesis(schedule, hands, recorder=self.recorder).run()

    def close(self) -> None:
        if self._recorder is not None:
            self._recorder.close()
        if self._servers is not None:
            self._servers.stop()
        if self._fleets is not None:
            self._fleets.stop()

    def history(self) -> History:
        """Everything so far, closed by one reading of each protected log."""
        for path in sorted(self.directory.glob("log-*")):
            rows = FencedLog(path).rows()
            about = {"name": path.name.removeprefix("log-")}
            reading = self.recorder.invoke("read", about)
            reading.ok(rows[-1].value if rows else None)
        return read_history(self.directory / "history")

    def lost_adds(self) -> int:
        return sum(
            lost_adds(FencedLog(path).rows()) for path in self.directory.glob("log-*")
        )

    def result(
        self,
        run: str,
        title: str,
        verdicts: Mapping[str, Verdict],
        numbers: Mapping[str, object],
    ) -> Result:
        took_s = time.monotonic() - self.began
        result = Result(
            run, title, self.seed, took_s, verdicts, numbers, str(self.directory)
        )
        result.save(self.directory)
        return result


def judged(
    stage: Stage,
    history: History,
    *,
    mutex: bool = True,
    model: Model[Any] | None = None,
    also: tuple[Excuse, ...] = (),
) -> dict[str, Verdict]:
    """The verdicts that every run of locks has to pass."""
    writes = by_name(history.of("write", "read"))
    lost = stage.lost_adds()
    verdicts = {
        "tokens": tokens_grow(history),
        "fenced writes": judge_each(writes, FencedRegister()),
        "adds": Verdict(
            "invalid" if lost else "valid",
            len(history.of("write")),
            f"{lost} lost" if lost else "",
        ),
    }
    if mutex:
        parts = mutex_operations(history, [*excuses(history), *also])
        verdicts["mutex"] = judge_each(parts, model or CheckedMutex())
    return verdicts


def told(history: History, fleet: Fleet) -> dict[str, object]:
    """The numbers of every run."""
    grants = [op for op in history.of("acquire") if op.is_known]
    waits_s = [(op.returned_ns - op.called_ns) / 1e9 for op in grants]  # type: ignore[operator]
    asked = history.of("acquire")
    failed = [op for op in history.failed if op.f == "acquire"]
    faults = history.of("nemesis")
    served = availability(asked, failed, faults)
    writes = history.of("write")
    numbers: dict[str, object] = {
        "grants": len(grants),
        "acquire p50 / p99 / max": _ms(waits_s),
        "faults": len(faults),
        "fencing rejections": sum(op.result is False for op in writes),
        "overlaps of belief": overlaps(history),
        "lost locks told": fleet.errors.get("LockLostError", 0),
        "longest time without a grant": f"{served.longest_gap_s:.2f} s",
        "acquires served / gave up / cut off": (
            f"{served.succeeded} / {served.failed} / {served.open}"
        ),
    }
    if served.recoveries_s:
        numbers["first grant after a fault, p50 / max"] = (
            f"{percentile(served.recoveries_s, 0.5) * 1000:.0f} / "
            f"{max(served.recoveries_s) * 1000:.0f} ms"
        )
    if errors := {k: n for k, n in fleet.errors.items() if k != "LockNotGranted"}:
        numbers["errors told to callers"] = ", ".join(
            f"{name} {count}" for name, count in sorted(errors.items())
        )
    return numbers


def _ms(values_s: list[float]) -> str:
    figures = [percentile(values_s, share) * 1000 for share in (0.5, 0.99, 1.0)]
    return " / ".join(f"{figure:.1f}" for figure in figures) + " ms"


async def seconds(number: float) -> None:
    """Let traffic flow for so long."""
    await asyncio.sleep(number)


async def nothing_left(server: Server, namespace: str, within_s: float) -> Verdict:
    """No holder, waiter or claim is left on the server: only last tokens."""
    room = f"{{{namespace}}}:l:"
    left: list[str] = []
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        left = claimed(server, room)
        if not left:
            return Verdict("valid", 1)
        await asyncio.sleep(0.05)
    return Verdict("invalid", 1, f"left after {within_s:g} s: {', '.join(left[:5])}")


def claimed(server: Server, room: str) -> list[str]:
    """The keys that say that somebody holds or waits."""
    keys = {bytes(key).decode() for key in server.admin.keys(f"{room}*")}  # type: ignore[arg-type]
    return sorted(
        key
        for key in keys
        if key.startswith(tuple(f"{room}{kind}" for kind in "qrwi"))
        or (key.startswith(f"{room}h:") and server.admin.hexists(key, "m"))
    )
