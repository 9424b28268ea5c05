"""The windows of a sitting: which of them count, and their figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.bench.spread import median

FEWEST = 3

Run = dict[str, Any]
"""One window: what was measured, what the server counted, and the noise."""


class Results:
    """The windows of a sitting, summed up by scenario and peer."""

    def __init__(self, runs: list[Run]) -> None:
        self._by: dict[tuple[str, str], list[Run]] = {}
        for run in runs:
            self._by.setdefault((run["scenario"], run["peer"]), []).append(run)

    def kept(self, scenario: str, peer: str) -> list[Run]:
        """The windows that count: the quiet ones, or if there is none, the best."""
        done = [r for r in self._by.get((scenario, peer), []) if "result" in r]
        quiet = [r for r in done if not r["why_not"]]
        return quiet or sorted(done, key=_loudness)[:FEWEST]

    def is_noisy(self, scenario: str, peer: str) -> bool:
        kept = self.kept(scenario, peer)
        return bool(kept) and bool(kept[0]["why_not"])

    def failure(self, scenario: str, peer: str) -> str:
        """Why there is nothing, if there is nothing."""
        failed = [
            r["failed"] for r in self._by.get((scenario, peer), []) if "failed" in r
        ]
        return failed[-1] if failed and not self.kept(scenario, peer) else ""

    def values(self, scenario: str, peer: str, path: str) -> list[float]:
        """One figure of all runs that count. `path` such as "result.pair_us.p50"."""
        return [
            value
            for run in self.kept(scenario, peer)
            if (value := _at(run, path)) is not None
        ]

    def per_op(self, scenario: str, peer: str, what: str) -> list[float]:
        """What the server counted, by the operations of the run."""
        return [
            run["counts"][what] / run["result"]["n"]
            for run in self.kept(scenario, peer)
        ]

    def ratios(self, scenario: str, ours: str, peer: str, path: str) -> list[float]:
        """`ours` over `peer`, turn by turn: each against the nearest turn of ours."""
        mine = self._turns(scenario, ours, path)
        if not mine:
            return []
        return [
            mine[_nearest(mine, turn)] / theirs
            for turn, theirs in self._turns(scenario, peer, path).items()
            if theirs
        ]

    def _turns(self, scenario: str, peer: str, path: str) -> dict[int, float]:
        """The median of one figure in each turn."""
        by: dict[int, list[float]] = {}
        for run in self.kept(scenario, peer):
            if (value := _at(run, path)) is not None:
                by.setdefault(run["turn"], []).append(value)
        return {turn: median(values) for turn, values in by.items()}


def _loudness(run: Run) -> float:
    noise: dict[str, float] = run["noise"]
    return noise["steal_pct"] + noise["waited_pct"] + noise["foreign_pct"] / 10


def _at(run: Mapping[str, Any], path: str) -> float | None:
    value: Any = run
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return float(value)


def _nearest(turns: Iterable[int], turn: int) -> int:
    return min(turns, key=lambda near: abs(near - turn))
