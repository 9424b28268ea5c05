"""What was promised, and whether it is so."""

from __future__ import annotations

from collections.abc import Callable

from tests.bench.judging import Goal, Judge

SAME = 0.02
"""The reads of a run hold a renewal or two beside what is counted."""


def _requests(judge: Judge) -> tuple[str, bool]:
    asked = judge.one("counted", "ours", "result.requests_a_pair")
    reads = judge.per_op("uncontended", "ours", "reads")
    text = f"{asked:.2f} requests, {reads:.2f} round trips a pair"
    return text, asked == 2.0 and abs(reads - 2) < SAME


def _over_bare(which: str) -> Callable[[Judge], tuple[str, bool]]:
    def look(judge: Judge) -> tuple[str, bool]:
        bare = judge.one("paired", "ours", "result.bare_us.p50")
        ours = judge.one("paired", "ours", f"result.{which}_us.p50")
        return (
            f"{ours / bare:.2f}× ({ours:.0f} µs, bare {bare:.0f})",
            ours <= 1.3 * bare,
        )

    return look


def _rate(scenario: str, least: float) -> Callable[[Judge], tuple[str, bool]]:
    def look(judge: Judge) -> tuple[str, bool]:
        ratio = judge.ratio(scenario, "redis-py", "result.per_s")
        return f"{ratio:.1f}×", ratio >= least

    return look


def _handoff_p50(judge: Judge) -> tuple[str, bool]:
    ratio = judge.ratio("contention-10", "python-redis-lock", "result.handoff_ms.p50")
    ours = judge.one("contention-10", "ours", "result.handoff_ms.p50")
    return f"{1 / ratio:.1f}× as fast ({ours:.2f} ms)", ratio <= 0.5


def _handoff_p99(judge: Judge) -> tuple[str, bool]:
    ours = judge.one("contention-10", "ours", "result.handoff_ms.p99")
    peer = judge.one("contention-10", "python-redis-lock", "result.handoff_ms.p99")
    return f"{ours:.2f} ms, theirs {peer:.2f} ms", ours <= peer


def _fifo(judge: Judge) -> tuple[str, bool]:
    overtaken = judge.one("contention-10", "ours", "result.overtaken_pct")
    same = judge.one("contention-10", "ours", "result.same_process_pct")
    text = f"{overtaken:.2f} % overtaken, {same:.2f} % taken back by who gave it"
    return text, overtaken == 0.0 and same == 0.0


def _wait(judge: Judge) -> tuple[str, bool]:
    wait = judge.one("contention-10", "ours", "result.wait_ms.p99")
    return f"{wait:.1f} ms", wait <= 25.0


def _return(judge: Judge) -> tuple[str, bool]:
    asked = judge.one("line-up", "ours", "result.requests_a_return")
    return f"{asked:.2f}", asked <= 1.1


def _message(judge: Judge) -> tuple[str, bool]:
    bare = judge.one("message", "ours", "result.heard_us.p50")
    ours = judge.one("contention-10", "ours", "result.handoff_ms.p50") * 1e3
    return f"{ours / bare:.2f}× ({ours:.0f} µs, bare {bare:.0f})", ours <= 1.5 * bare


def _crowd(judge: Judge) -> tuple[str, bool]:
    took = judge.one("crowd", "ours", "result.seconds")
    asked = judge.one("counted-crowd", "ours", "result.requests")
    granted = judge.one("crowd", "ours", "result.granted")
    text = f"{took:.2f} s for {granted:.0f}, {asked:.0f} requests in all"
    return text, took <= 0.3 and granted == 1000


def _idle(judge: Judge) -> tuple[str, bool]:
    beyond = judge.one("idle", "ours", "result.beyond_renewal_per_s")
    return f"{beyond:.1f}/s", beyond <= 2.0


def _reenter(judge: Judge) -> tuple[str, bool]:
    took = judge.one("reenter", "ours", "result.pair_us.p50")
    asked = judge.one("reenter", "ours", "result.requests_in_all")
    return f"{asked:.0f} requests, p50 {took:.1f} µs", asked == 0 and took <= 20


def _holding(judge: Judge) -> tuple[str, bool]:
    locks = judge.one("holding", "ours", "result.locks")
    renewals = judge.one("holding", "ours", "result.renewals")
    others = judge.one("holding", "ours", "result.other_requests")
    seconds = judge.one("holding", "ours", "result.seconds")
    cpu = judge.one("holding", "ours", "result.client_cpu_pct")
    text = (
        f"{locks:,.0f} locks: {renewals:.0f} renewals and {others:.0f} other requests "
        f"in {seconds:.0f} s, {cpu:.2f} % of a core"
    )
    # One renewal in 5 s, at most one more at each end of the window.
    return text, renewals <= seconds / 5 + 1 and cpu <= 2.0


_TEN = (("contention-10", "ours"), ("contention-10", "python-redis-lock"))
GOALS = (
    Goal(
        "uncontended: acquire and release",
        "one request and one round trip each",
        _requests,
        (("counted", "ours"),),
    ),
    Goal(
        "acquire, p50, over a bare EVALSHA on the same connection",
        "≤ 1.3×",
        _over_bare("acquire"),
        (("paired", "ours"),),
    ),
    Goal(
        "release, p50, over a bare EVALSHA on the same connection",
        "≤ 1.3×",
        _over_bare("release"),
        (("paired", "ours"),),
    ),
    Goal(
        "one after the other, against redis.asyncio Lock",
        "≥ 1.5×",
        _rate("uncontended", 1.5),
        (("uncontended", "ours"), ("uncontended", "redis-py")),
    ),
    Goal(
        "32 tasks on distinct locks, against redis.asyncio Lock",
        "≥ 3× (aim 10×)",
        _rate("distinct", 3.0),
        (("distinct", "ours"), ("distinct", "redis-py")),
    ),
    Goal(
        "handoff among 10 processes, p50, against python-redis-lock",
        "≥ 2× as fast",
        _handoff_p50,
        _TEN,
    ),
    Goal("handoff, p99, against python-redis-lock", "no worse", _handoff_p99, _TEN),
    Goal("first come, first served", "nobody overtaken", _fifo, _TEN[:1]),
    Goal("waiting, p99, 10 processes at 1 ms holds", "≤ 25 ms", _wait, _TEN[:1]),
    Goal("requests a handoff", "≤ 1.1", _return, (("line-up", "ours"),)),
    Goal(
        "handoff, p50, over a bare publish → subscriber",
        "≤ 1.5×",
        _message,
        (("message", "ours"), *_TEN[:1]),
    ),
    Goal(
        "1,000 tasks of one process, one lock", "≤ 0.3 s", _crowd, (("crowd", "ours"),)
    ),
    Goal(
        "100 idle waiters, requests beyond session renewal",
        "≤ 2/s",
        _idle,
        (("idle", "ours"),),
    ),
    Goal(
        "re-entry and its end", "0 requests, ≤ 20 µs", _reenter, (("reenter", "ours"),)
    ),
    Goal(
        "10,000 held locks",
        "fixed number of renewals, ≤ 2 % of a core",
        _holding,
        (("holding", "ours"),),
    ),
)
