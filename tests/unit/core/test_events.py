"""Facts, and how everybody who asked hears them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass

import pytest

from quorate.core.events import (
    Announcer,
    Event,
    ListenerFailed,
    event_name,
    silent,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockLost(Event):
    lock: str
    held_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigSourceFailed(Event):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept(Event):
    pass


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (LockLost, "lock.lost"),
        (ConfigSourceFailed, "config.source_failed"),
        (Swept, "swept"),
        (ListenerFailed, "listener.failed"),
    ],
)
def test_the_name_is_noun_and_words(kind: type[Event], name: str) -> None:
    assert event_name(kind) == name


def test_a_fact_is_frozen_and_shows_its_fields_in_order() -> None:
    fact = LockLost(lock="a", held_s=1.5)

    assert fact.name == "lock.lost"
    assert list(fact.facts().items()) == [("lock", "a"), ("held_s", 1.5)]
    with pytest.raises(FrozenInstanceError):
        fact.lock = "b"  # type: ignore[misc]
    silent(fact)


def test_everybody_hears_in_order_until_he_leaves() -> None:
    announcer, heard = Announcer(), []
    announcer.listen(lambda event: heard.append(("first", event)))
    leave = announcer.listen(lambda event: heard.append(("second", event)))
    fact = LockLost(lock="a")

    announcer.emit(fact)
    leave()
    leave()
    announcer.emit(fact)

    assert heard == [("first", fact), ("second", fact), ("first", fact)]


def test_a_listener_that_fails_harms_nobody_and_is_told_of() -> None:
    announcer, heard = Announcer(), []

    def broken(event: Event) -> None:
        raise ValueError(event.name)

    announcer.listen(broken)
    announcer.listen(heard.append)

    announcer.emit(LockLost(lock="a"))

    failed, fact = heard
    assert isinstance(failed, ListenerFailed)
    assert isinstance(fact, LockLost)
    assert failed.heard == "lock.lost"
    assert failed.listener.endswith("broken")
    assert failed.error == "ValueError: lock.lost"


def test_who_leaves_while_being_told_does_not_upset_the_others() -> None:
    announcer, heard = Announcer(), []

    def once(event: Event) -> None:
        heard.append("once")
        leave()

    leave = announcer.listen(once)
    announcer.listen(lambda _: heard.append("always"))

    announcer.emit(Swept())
    announcer.emit(Swept())

    assert heard == ["once", "always", "always"]
