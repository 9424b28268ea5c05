"""The house as it stands keeps every rule."""

import importlib
from pathlib import Path

import pytest

from . import conduct, floors, sizes, slots
from .public_page import unkept_promises
from .tree import House, Rule, house_at

PACKAGE = Path(__file__).parents[2] / "pkg" / "quorate"
RULES = (*floors.RULES, *conduct.RULES, *sizes.RULES, *slots.RULES)


@pytest.fixture(scope="module")
def house() -> House:
    return house_at(PACKAGE)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(rule: Rule, house: House):
    faults = sorted(rule(house))

    listing = "\n".join(map(str, faults))
    assert not faults, f"{rule.__doc__}\n{listing}"


def test_every_exception_to_a_rule_names_a_file_that_is_there():
    excepted = {*conduct.MAY_CREATE_TASKS, *conduct.MAY_LOOP}

    assert [path for path in excepted if not (PACKAGE / path).exists()] == []


def test_every_name_on_the_public_page_is_there_and_documented():
    page = importlib.import_module("quorate")

    assert list(unkept_promises(page)) == []
