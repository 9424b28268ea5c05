"""Prometheus metrics: events are counted, `stats()` are read when somebody scrapes.

Nothing on a hot path knows that metrics exist. Labels come from closed sets only: event
names, lanes, states, templates; never a key, a task id or a lock's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    Counter,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from quorate.core.events import Event
from quorate.core.series import Buckets, Kind, Series

ReadStats = Callable[[], object]
"""Returns a frozen dataclass; its numbers become metrics."""

_UNITS = {"_s": "_seconds", "_bytes": "_bytes"}
ROWS = "by_"
"""How a field begins that maps each value of a label to statistics of its own."""
_PLAIN = re.compile(r"[^a-zA-Z0-9_]")


class Metrics(Collector):
    """The metrics of one node, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._sources: dict[str, ReadStats] = {}
        self._series: list[Callable[[], Iterable[Series]]] = []
        self._events = Counter(
            "quorate_events", "Events by name.", ["event"], registry=self.registry
        )
        self._unreadable = Counter(
            "quorate_unreadable_stats",
            "Scrapes for which the statistics of a part could not be read.",
            ["of"],
            registry=self.registry,
        )
        self.registry.register(self)
        self._server: Callable[[], None] | None = None

    def add(self, name: str, read: ReadStats) -> None:
        """Show the numbers that `read()` returns as `quorate_<name>_<field>`."""
        self._sources[name] = read

    def add_series(self, read: Callable[[], Iterable[Series]]) -> None:
        """Show series as they are."""
        self._series.append(read)

    def count(self, event: Event) -> None:
        """Count an event. An `Emit`."""
        self._events.labels(event.name).inc()

    def collect(self) -> Iterator[Metric]:
        """One scrape. A source that raises is left out of it, and counted."""
        for name, read in self._sources.items():
            try:
                stats = read()
            except Exception:
                self._unreadable.labels(name).inc()
                continue
            if is_dataclass(stats) and not isinstance(stats, type):
                yield from _families(name, stats)
        for read_series in self._series:
            try:
                series = tuple(read_series())
            except Exception:
                self._unreadable.labels("series").inc()
                continue
            yield from map(_family_of, series)

    def page(self) -> bytes:
        """The page that Prometheus reads."""
        return generate_latest(self.registry)

    def serve(self, port: int, host: str = "127.0.0.1") -> int:
        """Serve the page at `http://host:port/metrics`; port 0 takes a free one."""
        server, thread = start_http_server(port, addr=host, registry=self.registry)

        def close() -> None:
            server.shutdown()
            server.server_close()
            thread.join(timeout=5.0)

        self._server = close
        return int(server.server_port)

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            close, self._server = self._server, None
            close()


def _families(name: str, stats: object) -> Iterator[Metric]:
    for field in fields(stats):  # type: ignore[arg-type]
        value = getattr(stats, field.name)
        metric = f"quorate_{name}_{_with_unit(field.name)}"
        if isinstance(value, bool):
            value = int(value)
        if isinstance(value, (int, float)):
            yield _family(metric, field.name, {None: value})
        elif isinstance(value, Buckets):
            yield _histogram(metric, field.name, "", {"": value})
        elif field.name.startswith(ROWS):
            yield from _rows(name, field.name.removeprefix(ROWS), value)
        elif isinstance(value, Mapping):
            numbers: dict[str | None, float] = {
                str(getattr(key, "value", key)): number
                for key, number in value.items()
                if isinstance(number, (int, float))
            }
            yield _family(metric, field.name, numbers)


def _rows(name: str, label: str, rows: Mapping[str, object]) -> Iterator[Metric]:
    """`by_template` of `locks`: quorate_locks_template_…, one series each template."""
    first = next(iter(rows.values()), None)
    if first is None or not is_dataclass(first):
        return
    for field in fields(first):
        metric = f"quorate_{name}_{label}_{_with_unit(field.name)}"
        if isinstance(getattr(first, field.name), Buckets):
            spreads = {of: getattr(row, field.name) for of, row in rows.items()}
            yield _histogram(metric, field.name, label, spreads)
        else:
            numbers: dict[str | None, float] = {
                of: getattr(row, field.name) for of, row in rows.items()
            }
            yield _family(metric, field.name, numbers, label)


def _histogram(
    metric: str, field: str, label: str, spreads: Mapping[str, Buckets]
) -> Metric:
    text = f"{field.replace('_', ' ')}."
    labels = [label] if label else []
    family = HistogramMetricFamily(metric, text, labels=labels)
    for of, spread in spreads.items():
        family.add_metric([of] if label else [], _cumulated(spread), spread.total)
    return family


def _family(
    metric: str, field: str, numbers: Mapping[str | None, float], label: str = "of"
) -> Metric:
    labels = [] if None in numbers else [label]
    text = f"{field.replace('_', ' ')}."
    family = (
        CounterMetricFamily(metric.removesuffix("_total"), text, labels=labels)
        if field.endswith("_total")
        else GaugeMetricFamily(metric, text, labels=labels)
    )
    for of, number in numbers.items():
        family.add_metric([] if of is None else [of], number)
    return family


def _family_of(series: Series) -> Metric:
    if series.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(
            series.name, series.help, labels=series.labels
        )
        for labels, sample in series.samples.items():
            if isinstance(sample, Buckets):
                histogram.add_metric(labels, _cumulated(sample), sample.total)
        return histogram
    is_counter = series.kind is Kind.COUNTER
    family = (
        CounterMetricFamily(
            series.name.removesuffix("_total"), series.help, labels=series.labels
        )
        if is_counter
        else GaugeMetricFamily(series.name, series.help, labels=series.labels)
    )
    for labels, sample in series.samples.items():
        if not isinstance(sample, Buckets):
            family.add_metric(labels, sample)
    return family


def _cumulated(buckets: Buckets) -> list[tuple[str, float]]:
    names = (*(str(bound) for bound in buckets.bounds), "+Inf")
    return list(zip(names, accumulate(buckets.counts), strict=True))


def _with_unit(field: str) -> str:
    plain = _PLAIN.sub("_", field)
    for short, long in _UNITS.items():
        if plain.endswith(f"{short}_total"):
            return f"{plain.removesuffix(f'{short}_total')}{long}_total"
        if plain.endswith(short):
            return plain.removesuffix(short) + long
    return plain
