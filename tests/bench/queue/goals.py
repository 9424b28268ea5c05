"""What was promised of the queue, and whether it is so."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.bench.entries import Entry
from tests.bench.judging import Goal, Judge, Missing
from tests.bench.queue import roster
from tests.bench.queue.roster import BEST, FORKED, PLAIN, TUNED, WITH_ASYNCIO, WITH_BULK

ONE, RATE = "one", "result.per_s"


def _against(
    scenario: str, entries: Sequence[Entry], least: float
) -> Callable[[Judge], tuple[str, bool]]:
    """Ours over the best of `entries`, by their rates."""

    def look(judge: Judge) -> tuple[str, bool]:
        ratios = {}
        for entry in entries:
            try:
                ratios[entry.title] = judge.ratio(scenario, entry.key, RATE)
            except Missing:
                continue
        if not ratios:
            raise Missing(scenario)
        best = min(ratios, key=ratios.__getitem__)
        return f"{ratios[best]:.1f}× {best}", ratios[best] >= least

    return look


def _two(judge: Judge) -> tuple[str, bool]:
    one, two = judge.one(ONE, "ours", RATE), judge.one("two", "ours", RATE)
    return f"{two / one:.2f}× ({two:,.0f}/s)", two >= 1.7 * one


def _two_busy(judge: Judge) -> tuple[str, bool]:
    one, two = (judge.one(f"{n}-busy", "ours", RATE) for n in ("one", "two"))
    return f"{two / one:.2f}× ({two:,.0f}/s)", two >= 1.7 * one


def _commands(judge: Judge) -> tuple[str, bool]:
    commands = judge.per_op(ONE, "ours", "commands")
    reads = judge.per_op(ONE, "ours", "reads")
    text = f"{commands:.2f} commands, {reads:.3f} reads"
    return text, commands <= 0.5 and reads <= 0.05


def _server(judge: Judge) -> tuple[str, bool]:
    cpu_us = judge.per_op(ONE, "ours", "cpu_s") * 1e6
    return f"{cpu_us:.1f} µs", cpu_us <= 12.0


def _idle(judge: Judge) -> tuple[str, bool]:
    asked = judge.one("idle", "ours", "result.requests_per_s")
    return f"{asked:.1f}/s", asked <= 1.0


def _distance(judge: Judge) -> tuple[str, bool]:
    near, far = judge.one(ONE, "ours", RATE), judge.one("distance", "ours", RATE)
    return f"{100 * far / near:.0f} % ({far:,.0f}/s)", far >= 0.8 * near


def _pickup(judge: Judge) -> tuple[str, bool]:
    p50 = judge.one("pickup", "ours", "result.pickup_ms.p50")
    p99 = judge.one("pickup", "ours", "result.pickup_ms.p99")
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms", p50 <= 0.8 and p99 <= 2.0


def _needs(scenario: str, *entries: Entry) -> tuple[tuple[str, str], ...]:
    return tuple((scenario, entry.key) for entry in (roster.OURS, *entries))


GOALS = (
    Goal(
        "one worker process, against taskiq's stream broker",
        "≥ 8×",
        _against(ONE, (roster.TASKIQ_STREAM, roster.TASKIQ_STREAM_TUNED), 8.0),
        _needs(ONE, roster.TASKIQ_STREAM),
    ),
    Goal(
        "one worker process, against saq and tuned docket",
        "≥ 10×",
        _against(
            ONE, (roster.SAQ, roster.SAQ_TUNED, roster.DOCKET_TUNED), 10.0
        ),
        _needs(ONE, roster.SAQ_TUNED, roster.DOCKET_TUNED),
    ),
    Goal(
        "one worker process, against the best of all peers",
        "(for comparison)",
        _against(ONE, (*PLAIN, *FORKED, *TUNED), 0.0),
        _needs(ONE),
    ),
    Goal("two worker processes over one", "≥ 1.7×", _two, _needs("two")),
    Goal(
        "two over one, tasks that need the processor for 0.2 ms",
        "≥ 1.7×",
        _two_busy,
        _needs("two-busy"),
    ),
    Goal(
        "saturated, a task", "≤ 0.5 commands, ≤ 0.05 server reads", _commands,
        _needs(ONE),
    ),
    Goal("saturated, server CPU a task", "≤ 12 µs", _server, _needs(ONE)),
    Goal("idle worker process", "≤ 1 request/s", _idle, ()),
    Goal(
        "2 ms more round trip, against the best peer",
        "≥ 8×",
        _against("distance", BEST, 8.0),
        _needs("distance"),
    ),
    Goal(
        "2 ms more round trip, of our own rate without", "≥ 80 %", _distance,
        _needs("distance"),
    ),
    Goal(
        "enqueue awaited singly, against the best peer",
        "≥ 1.8×",
        _against("singly", PLAIN, 1.8),
        _needs("singly"),
    ),
    Goal(
        "enqueue, 64 at once, against the best peer",
        "≥ 8×",
        _against("at-once", WITH_ASYNCIO[1:], 8.0),
        _needs("at-once"),
    ),
    Goal(
        "enqueue in bulk, 100 a call, against the best peer",
        "≥ 10×",
        _against("bulk", WITH_BULK[1:], 10.0),
        _needs("bulk"),
    ),
    Goal(
        "pickup by an idle worker", "p50 ≤ 0.8 ms, p99 ≤ 2 ms", _pickup,
        _needs("pickup"),
    ),
)  # fmt: skip
