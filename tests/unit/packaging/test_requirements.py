"""requirements.txt pins exactly, and pins everything that pyproject.toml asks for."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
ASKED = sorted(
    {*PROJECT["dependencies"], *(word for words in EXTRAS.values() for word in words)}
)


def pinned() -> dict[str, str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    requirements = [
        Requirement(line) for line in lines if line.strip() and not line.startswith("#")
    ]
    return {canonicalize_name(r.name): str(r.specifier) for r in requirements}


def test_every_line_pins_one_exact_version_and_nothing_else():
    for name, specifier in pinned().items():
        assert re.fullmatch(r"==[\w.!+]+", specifier), f"{name}{specifier}"


@pytest.mark.parametrize("asked", ASKED)
def test_what_the_project_asks_for_is_pinned_to_a_version_that_will_do(asked):
    wanted = Requirement(asked)
    if wanted.name == PROJECT["name"]:
        assert wanted.extras <= EXTRAS.keys()
        return

    pin = pinned()[canonicalize_name(wanted.name)].removeprefix("==")

    assert wanted.specifier.contains(pin)


def test_there_is_an_extra_for_each_backend_and_one_for_all():
    whole = Requirement(EXTRAS["all"][0])

    assert EXTRAS.keys() >= {"embedded", "memory", "consul", "rabbit", "postgres"}
    assert whole.extras == EXTRAS.keys() - {"all"}
