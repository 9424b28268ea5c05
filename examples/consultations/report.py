"""The account at the end: every request exactly once, and how quick everything was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .intake import Malformed, Request


@dataclass
class Marks:
    """When things happened, in monotonic seconds; None if they have not."""

    started: float | None = None
    killed: float | None = None
    death_noticed: float | None = None
    stopped: float | None = None
    sickness_noticed: float | None = None
    degraded: float | None = None
    continued: float | None = None
    recovered: float | None = None
    finished: float | None = None


def between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round(end - start, 3)


@dataclass(frozen=True)
class Report:
    """What came of the run. `ok` is False if a request is missing or done twice."""

    requests: int
    results: int
    missing: list[str]
    unexpected: list[str]
    written_twice: list[str]
    malformed: list[str]
    attempts: int
    retries: int
    stale_refused: int
    dead_letters: int
    tasks_per_second: float | None
    detect_s: float | None
    degrade_s: float | None
    recover_s: float | None
    total_s: float | None
    degraded_mode_seen: bool
    lock_waits: int
    lock_wait_max_s: float
    cache_hits: int
    answered_by: dict[str, int] = field(default_factory=dict)
    by_urgency: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not (self.missing or self.unexpected or self.written_twice)

    def to_dict(self) -> dict[str, object]:
        return {"ok": self.ok, **asdict(self)}


def account(
    requests: Sequence[Request],
    malformed: Sequence[Malformed],
    results: Sequence[dict[str, object]],
    runs: Sequence[dict[str, object]],
    marks: Marks,
    *,
    dead_letters: int = 0,
) -> Report:
    """Hold what was asked against what was done."""
    asked = {request.id for request in requests}
    found = Counter(str(row["request_id"]) for row in results)
    wrote = Counter(str(r["request_id"]) for r in runs if r["outcome"] == "written")
    waits = [float(str(row["lock_wait_s"])) for row in results]
    total_s = between(marks.started, marks.finished)
    return Report(
        requests=len(requests),
        results=len(results),
        missing=sorted(asked - set(found)),
        unexpected=sorted(set(found) - asked),
        written_twice=sorted(
            name for name in asked if found[name] > 1 or wrote[name] > 1
        ),
        malformed=[str(line) for line in malformed],
        attempts=len(runs),
        retries=sum(1 for run in runs if run["outcome"] == "failed"),
        stale_refused=sum(1 for run in runs if run["outcome"] == "stale"),
        dead_letters=dead_letters,
        tasks_per_second=round(len(results) / total_s, 1) if total_s else None,
        detect_s=between(marks.killed, marks.death_noticed),
        degrade_s=between(marks.stopped, marks.degraded),
        recover_s=between(marks.continued, marks.recovered),
        total_s=total_s,
        degraded_mode_seen=marks.degraded is not None,
        lock_waits=sum(1 for wait in waits if wait > 0.002),
        lock_wait_max_s=round(max(waits, default=0.0), 3),
        cache_hits=sum(1 for row in results if row["from_cache"]),
        answered_by=dict(Counter(str(row["instance"]) for row in results)),
        by_urgency=dict(Counter(str(row["urgency"]) for row in results)),
    )


def drawn(report: Report) -> RenderableType:
    """The report for people."""
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_column(style="dim")

    def row(name: str, value: object, note: str = "") -> None:
        shown = "–" if value is None else str(value)
        table.add_row(name, shown, note)

    row("requests", report.requests, _by(report.by_urgency))
    row("results", report.results, _by(report.answered_by))
    row("attempts", report.attempts, f"{report.retries} retried")
    row("stale writes refused", report.stale_refused)
    row("dead letters", report.dead_letters)
    row("lock waits", report.lock_waits, f"longest {report.lock_wait_max_s:.3f} s")
    row("answers with the cache", report.cache_hits)
    row("tasks per second", report.tasks_per_second, "with the faults in between")
    row("time to detect", _seconds(report.detect_s), "SIGKILL → instance gone")
    row("time to degrade", _seconds(report.degrade_s), "records stop → degraded mode")
    row("time to recover", _seconds(report.recover_s), "records back → normal")
    verdict = (
        Text("Every request is accounted for exactly once.", style="bold green")
        if report.ok
        else Text(_fault(report), style="bold red")
    )
    lines: list[RenderableType] = [table, verdict]
    for line in report.malformed[:10]:
        lines.append(Text(f"refused: {line}", style="yellow"))
    if len(report.malformed) > 10:
        lines.append(
            Text(f"refused: {len(report.malformed) - 10} more", style="yellow")
        )
    return Group(*lines)


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f} s"


def _by(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _fault(report: Report) -> str:
    return (
        f"{len(report.missing)} missing {report.missing[:3]}, "
        f"{len(report.unexpected)} unexpected {report.unexpected[:3]}, "
        f"{len(report.written_twice)} twice {report.written_twice[:3]}"
    )
