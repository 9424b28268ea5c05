"""The dashboard shows metrics and events that there are, from a Prometheus that is."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics_core import Metric

import quorate
from quorate import connect
from quorate.core.events import Event, event_name
from quorate.locks.model import TemplateStats
from quorate.queue.counts import WorkerTally
from quorate.queue.gauges import Gauges
from quorate.queue.sights import WorkerSight, WorkerState

CONFIG = Path(__file__).resolve().parents[3] / "config" / "grafana"
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
PARTS = ("locks", "queue", "config", "health", "wire")


@pytest.fixture
def dashboard() -> dict[str, Any]:
    return json.loads((CONFIG / "dashboards" / "quorate.json").read_text())


def expressions(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def series(metric: Metric) -> Iterator[str]:
    for suffix in SUFFIXES.get(metric.type, ("",)):
        yield metric.name + suffix


async def known_series() -> set[str]:
    """The names of all that a process with every part of a node exposes."""

    async def nothing(*_):
        return ()

    sight = WorkerSight(number=0, state=WorkerState.WORKING, tally=WorkerTally(), pid=1)
    async with connect("memory://") as node:
        locks = replace(node.locks.stats(), by_template={"a": TemplateStats()})
        node.metrics.add("locks", lambda: locks)
        node.metrics.add_series(lambda: Gauges(nothing, nothing).series([sight]))
        return {
            name
            for metric in node.metrics.registry.collect()
            for name in series(metric)
        }


def unknown(dashboard: dict[str, Any], known: set[str]) -> list[str]:
    return [
        f"{title}: {name}"
        for title, expression in expressions(dashboard)
        for name in re.findall(r"quorate_\w+", expression)
        if name not in known
    ]


def known_events() -> set[str]:
    for module in pkgutil.walk_packages(quorate.__path__, "quorate."):
        if module.name.endswith(".events"):
            importlib.import_module(module.name)
    return {event_name(kind) for kind in Event.__subclasses__()}


async def test_every_metric_on_the_dashboard_is_one_that_processes_expose(dashboard):
    known = await known_series()

    assert unknown(dashboard, known) == []
    shown = " ".join(expression for _, expression in expressions(dashboard))
    for part in PARTS:
        assert f"quorate_{part}_" in shown


async def test_a_metric_that_there_is_not_is_found(dashboard):
    dashboard["panels"][1]["targets"][0]["expr"] = "rate(quorate_locks_acquired[1m])"

    found = unknown(dashboard, await known_series())

    assert found == [f"{dashboard['panels'][1]['title']}: quorate_locks_acquired"]


def test_every_event_on_the_dashboard_is_one_that_there_is(dashboard):
    shown = {
        name.replace("\\\\", "")
        for _, expression in expressions(dashboard)
        for listed in re.findall(r'event=~?"([^"]+)"', expression)
        for name in listed.split("|")
    }

    assert len(shown) > 10
    assert shown <= known_events()


def test_panels_ask_the_provisioned_prometheus_and_stand_beside_each_other(dashboard):
    path = CONFIG / "provisioning" / "datasources" / "prometheus.yml"
    (source,) = yaml.safe_load(path.read_text())["datasources"]
    places: set[tuple[int, int]] = set()

    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        covered = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not covered & places, panel["title"]
        assert place["x"] + place["w"] <= 24
        places |= covered
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == source["uid"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(
        dashboard["panels"]
    )


def test_grafana_finds_the_dashboard_where_compose_mounts_it():
    compose = yaml.safe_load((CONFIG.parents[1] / "docker-compose.yml").read_text())
    path = CONFIG / "provisioning" / "dashboards" / "quorate.yml"
    (provider,) = yaml.safe_load(path.read_text())["providers"]

    mounted = dict(
        mount.split(":")[:2] for mount in compose["services"]["grafana"]["volumes"]
    )

    assert mounted["./config/grafana/dashboards"] == provider["options"]["path"]
