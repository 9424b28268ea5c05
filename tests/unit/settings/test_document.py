"""The sample file explains every setting and is up to date."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from quorate.settings.document import sample
from quorate.settings.environment import SETTINGS, path_of, short_names, variable_of

SAMPLE = Path(__file__).parents[3] / "config" / "quorate.yaml"


def test_the_sample_file_is_up_to_date():
    assert SAMPLE.read_text() == sample(), (
        "run: python -m quorate.settings > config/quorate.yaml"
    )


def test_the_module_prints_the_sample(capsys):
    runpy.run_module("quorate.settings", run_name="__main__")

    assert capsys.readouterr().out == sample()


@pytest.mark.parametrize("described", SETTINGS, ids=lambda d: d.path)
def test_every_setting_has_a_reason_and_every_number_a_unit(described):
    assert described.rule.why.endswith(".")
    if described.kind in (int, float):
        assert described.rule.unit
    if described.path.endswith("_s"):
        assert described.rule.unit == "seconds"


def test_a_path_and_its_variable_belong_together():
    for described in SETTINGS:
        assert path_of(variable_of(described.path)) == described.path


def test_the_short_names_are_those_of_the_document():
    assert {"REDIS_URL", "QUEUE_TYPE", "HEALTH_CHECK_ENABLED", "MESSAGE_WORKERS"} < set(
        short_names()
    )
    assert len(short_names()["REDIS_URL"]) == 3
