"""What the process's sweeper does about a dead session's instances."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.unit.registry.fake_store import FakeStore

from quorate.core.events import Event
from quorate.lease.lease import LeaseTerms
from quorate.registry.model import ServiceInfo
from quorate.registry.ports import Doubt, Removal, Suspect
from quorate.registry.probing import Prober
from quorate.registry.sweeping import RegistrySweeper, SweepStats, doubt_of
from quorate.testing.clock import ManualClock, settle
from quorate.testing.heard import Heard

SUSPECT = Suspect("dead.1", ServiceInfo(id="a", name="s", endpoint="h:1"))


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def sweeper(
    store: FakeStore, heard: Heard, clock: ManualClock
) -> Callable[[bool | None], RegistrySweeper]:
    def made(answer: bool | None) -> RegistrySweeper:
        async def probe(_info: ServiceInfo) -> bool | None:
            return answer

        return RegistrySweeper(store, Prober(probe, heard.emit, clock), Doubt())

    return made


async def test_everything_of_a_dead_session_goes_in_portions(
    store: FakeStore, sweeper: Callable[[bool | None], RegistrySweeper]
) -> None:
    store.removals = [Removal(150, 100), Removal(50, 100), Removal(0, 50)]
    room = sweeper(None).room()

    await room.clean(store.tag, "dead.1")

    assert store.asked == ["remove_dead"] * 3
    assert room.index_key(store.tag) == store.index_key


async def test_suspects_that_stay_do_not_keep_the_sweeper(
    store: FakeStore, sweeper: Callable[[bool | None], RegistrySweeper]
) -> None:
    store.removals = [Removal(3, 0)]

    await sweeper(None).clean(store.tag, "dead.1")

    assert store.asked == ["remove_dead"]


async def test_another_tag_is_none_of_its_business(
    store: FakeStore, sweeper: Callable[[bool | None], RegistrySweeper]
) -> None:
    await sweeper(None).clean("{other}", "dead.1")

    assert store.asked == []


@pytest.mark.parametrize(
    ("answer", "settled", "stats"),
    [
        (True, [("a", True)], SweepStats(0, 1, 0, 1)),
        (False, [("a", False)], SweepStats(0, 1, 1, 0)),
        (None, [], SweepStats(0, 1, 0, 0)),
    ],
)
async def test_what_a_probe_finds_out_is_written_down(
    store: FakeStore,
    sweeper: Callable[[bool | None], RegistrySweeper],
    answer: bool | None,
    settled: list[tuple[str, bool]],
    stats: SweepStats,
) -> None:
    store.removals = [Removal(1, 0, (SUSPECT,))]
    sweeping = sweeper(answer)

    await sweeping.clean(store.tag, "dead.1")
    await settle()

    assert store.settled == settled
    assert sweeping.stats() == stats


async def test_a_finding_that_cannot_be_written_down_waits_for_the_next_sweep(
    store: FakeStore, sweeper: Callable[[bool | None], RegistrySweeper], heard: Heard
) -> None:
    store.removals = [Removal(1, 0, (SUSPECT,))]
    sweeping = sweeper(False)
    await sweeping.clean(store.tag, "dead.1")
    store.away = True

    await settle()

    assert sweeping.stats().refuted == 0
    assert heard.count(Event) == 0


def test_the_doubt_fits_the_terms_of_the_session() -> None:
    doubt = doubt_of(LeaseTerms(ttl_s=15.0, renew_every_s=5.0), 0.3, 2)

    assert (doubt.late_s, doubt.stay_s, doubt.probe_every_s) == (9.0, 75.0, 2.0)
