"""Every rule has been seen red: it reports the planted bugs, and only those."""

import enum
from dataclasses import dataclass
from types import ModuleType

import pytest

from .planted import PLANTED, Planted
from .public_page import unkept_promises
from .test_house import RULES
from .tree import house_at


@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_a_rule_reports_what_breaks_it_and_nothing_else(planted: Planted):
    told = [str(fault) for fault in planted.rule(planted.house())]

    if planted.says is None:
        assert told == []
    else:
        assert any(planted.says in line for line in told), told


def test_every_rule_has_a_planted_bug_and_a_planted_innocent():
    red = {planted.rule for planted in PLANTED if planted.says is not None}
    green = {planted.rule for planted in PLANTED if planted.says is None}

    assert set(RULES) == red == green


def test_a_tree_is_read_from_its_folder(tmp_path):
    (tmp_path / "locks" / "scripts").mkdir(parents=True)
    (tmp_path / "locks" / "lock.py").write_text("import pickle\n")
    (tmp_path / "locks" / "scripts" / "take.lua").write_text("return 1\n")

    house = house_at(tmp_path)

    assert [source.path for source in house.sources] == ["locks/lock.py"]
    assert list(house.lua) == ["locks/scripts/take.lua"]


def a_page(**offered: object) -> ModuleType:
    page = ModuleType("page")
    page.__dict__.update(offered, __all__=list(offered))
    return page


class Documented:
    """Says what it promises."""


class Silent(Documented):
    pass


@dataclass
class SilentValue:
    x: int


class SilentColour(enum.Enum):
    RED = 1


def test_a_public_name_without_a_docstring_of_its_own_is_reported():
    page = a_page(
        Documented=Documented,
        Silent=Silent,
        SilentValue=SilentValue,
        SilentColour=SilentColour,
        silent=lambda: None,
        LIMIT=3,
    )

    told = " ".join(unkept_promises(page))

    assert "Documented " not in told
    assert "LIMIT" not in told
    for name in ("Silent", "SilentValue", "SilentColour", "silent"):
        assert f"{name} has no docstring" in told


def test_a_public_name_that_is_not_there_is_reported():
    page = a_page(Documented=Documented)
    page.__all__ = ["Documented", "Gone"]

    assert list(unkept_promises(page)) == ["Gone is offered, but is not there"]


def test_a_page_that_offers_nothing_is_reported():
    assert list(unkept_promises(ModuleType("page"))) == ["page has no __all__"]
