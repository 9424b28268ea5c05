"""Alerts ask for metrics that there are."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from quorate.queue.counts import WorkerTally
from quorate.queue.gauges import Gauges
from quorate.queue.measures import series_of
from quorate.queue.sights import WorkerSight, WorkerState

RULES = Path(__file__).resolve().parents[3] / "config" / "prometheus" / "rules"


async def test_every_alert_names_metrics_that_exist_and_says_where_to_look():
    async def nothing(*_):
        return ()

    sight = WorkerSight(number=0, state=WorkerState.WORKING, tally=WorkerTally(), pid=1)
    series = (*Gauges(nothing, nothing).series([sight]), *series_of({}))
    known = {each.name for each in series}
    groups = [
        group
        for path in RULES.glob("*.yml")
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    ]

    rules = [rule for group in groups for rule in group["rules"]]

    assert len(rules) >= 5
    for rule in rules:
        named = set(re.findall(r"quorate_\w+", rule["expr"]))
        assert named
        assert named <= known, rule["alert"]
        assert rule["annotations"]["look"]
