"""Metrics are read from events and from `stats()`."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass, field
from enum import Enum

from quorate.core.events import ListenerFailed
from quorate.core.series import Buckets
from quorate.core.spread import BOUNDS_S, NOTHING
from quorate.observability.metrics import Metrics


class Lane(Enum):
    HIGH = "high"


@dataclass(frozen=True)
class SomeStats:
    acquired_total: int = 3
    wait_s: float = 0.5
    wait_s_total: float = 1.5
    is_open: bool = True
    depth: dict[object, int] = field(default_factory=lambda: {Lane.HIGH: 2, "low": 1})
    name: str = "not a number"


def page(metrics: Metrics) -> list[str]:
    return metrics.page().decode().splitlines()


def test_numbers_of_stats_become_metrics_that_end_in_their_unit():
    metrics = Metrics()
    metrics.add("locks", SomeStats)

    lines = page(metrics)

    assert "quorate_locks_acquired_total 3.0" in lines
    assert "quorate_locks_wait_seconds 0.5" in lines
    assert "quorate_locks_wait_seconds_total 1.5" in lines
    assert "quorate_locks_is_open 1.0" in lines
    assert 'quorate_locks_depth{of="high"} 2.0' in lines
    assert 'quorate_locks_depth{of="low"} 1.0' in lines
    assert not any("not a number" in line for line in lines)


@dataclass(frozen=True)
class Row:
    acquired_total: int = 0
    wait_s: Buckets = NOTHING


@dataclass(frozen=True)
class Rows:
    by_template: dict[str, Row] = field(default_factory=dict)


def test_statistics_of_each_template_are_series_of_their_own():
    waited = Buckets(BOUNDS_S, (2, 0, 0, 1, 0, 0, 0, 0, 1), 70.5)
    rows = {"user:{user_id}": Row(4, waited), "(block)": Row(1)}
    metrics = Metrics()
    metrics.add("locks", lambda: Rows(rows))
    metrics.add("none", Rows)

    lines = page(metrics)

    name, of = "quorate_locks_template", 'template="user:{user_id}"'
    assert f"{name}_acquired_total{{{of}}} 4.0" in lines
    assert f'{name}_acquired_total{{template="(block)"}} 1.0' in lines
    assert f'{name}_wait_seconds_bucket{{le="0.025",{of}}} 2.0' in lines
    assert f'{name}_wait_seconds_bucket{{le="+Inf",{of}}} 4.0' in lines
    assert f"{name}_wait_seconds_sum{{{of}}} 70.5" in lines
    assert f"{name}_wait_seconds_count{{{of}}} 4.0" in lines
    assert not any("quorate_none" in line for line in lines)


def test_stats_are_read_only_when_somebody_scrapes():
    reads = []
    metrics = Metrics()
    metrics.add("locks", lambda: reads.append(1) or SomeStats())
    reads.clear()

    metrics.page()

    assert len(reads) == 1


def test_events_are_counted_by_name():
    metrics = Metrics()
    event = ListenerFailed(heard="a", listener="b", error="c")

    metrics.count(event)
    metrics.count(event)

    assert 'quorate_events_total{event="listener.failed"} 2.0' in page(metrics)


def test_a_part_whose_stats_raise_is_counted_and_harms_no_other():
    def broken() -> object:
        raise RuntimeError

    metrics = Metrics()
    metrics.add("broken", broken)
    metrics.add("locks", SomeStats)

    lines = page(metrics)
    lines = page(metrics)

    assert "quorate_locks_acquired_total 3.0" in lines
    assert any(
        line.startswith('quorate_unreadable_stats_total{of="broken"}') for line in lines
    )


def test_the_page_is_served_on_the_loopback_and_stops_with_its_owner():
    metrics = Metrics()
    metrics.add("locks", SomeStats)
    port = metrics.serve(0)
    try:
        url = f"http://127.0.0.1:{port}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            assert b"quorate_locks_acquired_total 3.0" in answer.read()
    finally:
        metrics.close()
        metrics.close()
