"""How a snapshot and later changes combine, and what an emptied store may take away."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quorate.core.clock import Chance
from quorate.registry.model import ServiceInfo, Snapshot
from quorate.registry.picture import Picture
from quorate.registry.ports import Change
from quorate.verdict.model import HealthState, HealthStatus

CARRY_S = 18.0


def an_instance(name: str, **fields: object) -> ServiceInfo:
    return ServiceInfo(id=name, name="s", endpoint="h:1", **fields)  # type: ignore[arg-type]


def a_snapshot(*names: str, epoch: str = "e", revision: int = 1) -> Snapshot:
    instances = [an_instance(name) for name in names]
    return Snapshot.of("s", instances, epoch=epoch, revision=revision)


def ids(picture: Picture) -> list[str]:
    return [info.id for info in picture.shown.instances]


def suspects(picture: Picture) -> list[str]:
    return [info.id for info in picture.shown.instances if info.suspect]


def test_a_change_adds_replaces_and_removes() -> None:
    picture = Picture(a_snapshot("a"))

    picture = picture.after_change(Change(2, "b", an_instance("b")), 5.0)
    picture = picture.after_change(Change(3, "b", an_instance("b", version="2")), 6.0)
    picture = picture.after_change(Change(4, "a", None, "left"), 7.0)

    shown = picture.shown
    assert [(info.id, info.version) for info in shown.instances] == [("b", "2")]
    assert (shown.epoch, shown.revision, shown.loaded_at) == ("e", 4, 7.0)


def test_many_changes_give_what_a_snapshot_of_the_outcome_gives() -> None:
    chance = Chance(3)
    picture, there = Picture(a_snapshot("i5")), {"i5": an_instance("i5")}

    for revision in range(2, 500):
        name = f"i{chance.randrange(30)}"
        info = None
        if chance.random() < 0.6:
            info = there[name] = an_instance(name, version=str(revision))
        else:
            there.pop(name, None)
        picture = picture.after_change(Change(revision, name, info), 7.0)

        expected = Snapshot.of(
            "s", there.values(), epoch="e", revision=revision, loaded_at=7.0
        )
        assert picture.shown == expected


def test_the_removal_of_somebody_unknown_is_only_a_revision() -> None:
    picture = Picture(a_snapshot("a")).after_change(Change(2, "x", None), 0.0)

    assert ids(picture) == ["a"]
    assert picture.shown.revision == 2


def test_a_later_snapshot_of_the_same_history_is_the_truth() -> None:
    before = Picture(a_snapshot("a", "b", "c"))

    after = before.after_snapshot(a_snapshot(revision=9), 0.0, CARRY_S)

    assert ids(after) == []
    assert (after.shown.epoch, after.shown.revision) == ("e", 9)


def test_the_same_snapshot_again_is_no_news() -> None:
    before = Picture(a_snapshot("a"))

    assert before.after_snapshot(a_snapshot("a"), 0.0, CARRY_S) is before


def test_suspicion_alone_at_the_same_revision_is_no_news() -> None:
    before = Picture(a_snapshot("a"))
    fresh = Snapshot.of("s", [an_instance("a", suspect=True)], epoch="e", revision=1)

    assert before.after_snapshot(fresh, 0.0, CARRY_S) is before


def test_a_new_text_of_health_at_the_same_revision_is_no_other_history() -> None:
    texts = [
        HealthStatus(HealthState.HEALTHY, message, when)
        for message, when in (("fine", 1.0), ("still fine", 2.0))
    ]
    before, fresh = (
        Snapshot.of(
            "s",
            [an_instance("a", health=text, last_check=text.timestamp)],
            epoch="e",
            revision=1,
        )
        for text in texts
    )

    assert Picture(before).after_snapshot(fresh, 0.0, CARRY_S).shown.epoch == "e"


def test_an_emptied_store_takes_nobody_away_at_once() -> None:
    before = Picture(a_snapshot("a", "b", revision=7))

    after = before.after_snapshot(a_snapshot(epoch="", revision=0), 100.0, CARRY_S)

    assert ids(after) == ["a", "b"]
    assert suspects(after) == ["a", "b"]
    assert (after.shown.epoch, after.carried_until) == ("", 118.0)


def test_who_registers_again_is_a_suspect_no_more() -> None:
    emptied = Picture(a_snapshot("a", "b", revision=7)).after_snapshot(
        a_snapshot(epoch="new", revision=0), 100.0, CARRY_S
    )

    after = emptied.after_change(Change(1, "a", an_instance("a")), 101.0)

    assert ids(after) == ["a", "b"]
    assert suspects(after) == ["b"]
    assert (after.shown.epoch, after.shown.revision) == ("new", 1)


def test_a_second_new_history_does_not_lengthen_the_wait() -> None:
    empty = a_snapshot(epoch="", revision=0)
    emptied = Picture(a_snapshot("a")).after_snapshot(empty, 100.0, CARRY_S)

    after = emptied.after_snapshot(
        a_snapshot("b", epoch="new", revision=1), 105.0, CARRY_S
    )

    assert suspects(after) == ["a"]
    assert after.carried_until == 118.0


def test_nobody_is_carried_over_for_ever() -> None:
    emptied = Picture(a_snapshot("a", "b")).after_snapshot(
        a_snapshot("a", epoch="new"), 100.0, CARRY_S
    )

    assert emptied.at(117.9) is emptied
    over = emptied.at(118.0)
    assert ids(over) == ["a"]
    assert (over.shown.epoch, over.shown.revision) == ("new~1", 1)


def test_who_is_refuted_goes_without_a_revision_and_so_under_another_epoch() -> None:
    emptied = Picture(a_snapshot("a", "b")).after_snapshot(
        a_snapshot(epoch="new"), 100.0, CARRY_S
    )

    after = emptied.refuted("a")

    assert ids(after) == ["b"]
    assert (emptied.shown.epoch, after.shown.epoch) == ("new", "new~1")
    assert after.refuted("a") is after


def test_a_history_that_went_back_is_shown_as_another_and_loses_nobody_at_once() -> (
    None
):
    before = Picture(a_snapshot("a", "b", revision=7))

    after = before.after_snapshot(a_snapshot("a", revision=5), 100.0, CARRY_S)

    assert (after.shown.epoch, after.shown.revision) == ("e~1", 5)
    assert suspects(after) == ["b"]


def test_a_history_that_was_rewritten_at_the_same_revision_is_another() -> None:
    before = Picture(a_snapshot("a", revision=7))

    after = before.after_snapshot(a_snapshot("b", revision=7), 100.0, CARRY_S)

    assert after.shown.epoch == "e~1"
    assert ids(after) == ["a", "b"]


def test_a_later_snapshot_clears_who_is_back_and_keeps_carrying_the_others() -> None:
    emptied = Picture(a_snapshot("a", "b")).after_snapshot(
        a_snapshot(epoch="new"), 100.0, CARRY_S
    )

    after = emptied.after_snapshot(
        a_snapshot("a", epoch="new", revision=4), 101.0, CARRY_S
    )

    assert ids(after) == ["a", "b"]
    assert suspects(after) == ["b"]


@pytest.mark.parametrize("bug", ["applied at once", "kept for ever"])
def test_the_two_opposite_bugs_of_protection_are_told_apart(bug: str) -> None:
    """Planted: an empty snapshot that is believed, and one that is never believed."""
    before, empty = Picture(a_snapshot("a")), a_snapshot(epoch="new", revision=0)
    carry_s = 0.0 if bug == "applied at once" else float("inf")

    after = before.after_snapshot(empty, 100.0, carry_s)

    lost_at_once = ids(after.at(100.0)) == []
    kept_for_ever = ids(after.at(10_000.0)) == ["a"]
    assert (lost_at_once, kept_for_ever) == (
        bug == "applied at once",
        bug == "kept for ever",
    )
    right = before.after_snapshot(empty, 100.0, CARRY_S)
    assert ids(right.at(100.0)) == ["a"]
    assert ids(right.at(10_000.0)) == []


def test_the_store_s_own_entry_wins_over_one_carried_over() -> None:
    emptied = Picture(a_snapshot("a")).after_snapshot(
        a_snapshot(epoch="new", revision=0), 100.0, CARRY_S
    )

    back = replace(an_instance("a"), version="2")
    after = emptied.after_change(Change(1, "a", back), 101.0)

    assert after.shown.by_id["a"] == back
