"""The keeper's thread: it begins, keeps a blocked process alive, and always ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable

import pytest
from tests.unit.lease.fake_store import FakeStore

from quorate.core.clock import Chance, SystemClock
from quorate.core.errors import StoreUnavailable
from quorate.core.lifecycle import RoleFailed
from quorate.lease import keeper as keeper_module
from quorate.lease.events import SessionLost
from quorate.lease.keeper import Keeper
from quorate.lease.lease import LeaseTerms
from quorate.lease.session import Session, SessionStore
from quorate.testing.heard import Heard

TERMS = LeaseTerms(ttl_s=0.8, renew_every_s=0.2, retry_every_s=0.05, max_stall_s=30.0)

MakeKeeper = Callable[..., Keeper]


def keepers_alive() -> int:
    return sum(thread.name == "quorate-keeper" for thread in threading.enumerate())


@pytest.fixture
def rows() -> FakeStore:
    return FakeStore(SystemClock())


@pytest.fixture
async def make_keeper(rows: FakeStore, heard: Heard) -> AsyncIterator[MakeKeeper]:
    made: list[Keeper] = []

    def make(
        terms: LeaseTerms = TERMS,
        kind: type[Keeper] = Keeper,
        open_store: Callable[[], SessionStore] | None = None,
    ) -> Keeper:
        clock = SystemClock()
        session = Session("me", rows, terms, heard.emit, clock)
        keeper = kind(
            session,
            open_store or (lambda: rows),
            emit=heard.emit,
            clock=clock,
            chance=Chance(1),
        )
        made.append(keeper)
        return keeper

    yield make
    for keeper in made:
        await keeper.stop()
    assert keepers_alive() == 0


async def test_it_renews_from_a_thread_of_its_own(
    rows: FakeStore, make_keeper: MakeKeeper
) -> None:
    keeper = make_keeper()
    await keeper.start()
    assert keepers_alive() == 1
    await keeper._session.join("{a}")
    me = {threading.get_ident()}
    rows.threads.clear()

    while rows.count("renew") < 3:
        await asyncio.sleep(0.01)

    assert len(rows.threads) == 1
    assert rows.threads != me
    assert keeper._session.name_in("{a}") == "me.1"


async def test_a_blocked_loop_keeps_its_session(
    rows: FakeStore, make_keeper: MakeKeeper, heard: Heard
) -> None:
    keeper = make_keeper()
    await keeper.start()
    await keeper._session.join("{a}")

    time.sleep(2 * TERMS.ttl_s)  # noqa: ASYNC251 - the loop is to stand still

    assert keeper._session.name_in("{a}") == "me.1"
    assert rows.is_alive("{a}", "me.1")
    await asyncio.sleep(0)
    assert heard.count(SessionLost) == 0


async def test_a_loop_that_is_blocked_too_long_loses_it_and_learns_it_at_once(
    rows: FakeStore, make_keeper: MakeKeeper, heard: Heard
) -> None:
    terms = LeaseTerms(0.6, 0.2, 0.05, max_stall_s=0.5)
    keeper = make_keeper(terms)
    await keeper.start()
    await keeper._session.join("{a}")

    time.sleep(0.5 + terms.ttl_s + 0.3)  # noqa: ASYNC251 - likewise
    alive_on_the_server = rows.is_alive("{a}", "me.1")
    name = keeper._session.name_in("{a}")
    lost = await heard(SessionLost, within_s=0.2)

    assert not alive_on_the_server
    assert name is None
    assert lost.why == "not renewed in time"


async def test_the_loss_is_told_before_the_server_could_give_the_claim_away(
    rows: FakeStore, make_keeper: MakeKeeper, heard: Heard
) -> None:
    keeper = make_keeper()
    told_at: list[float] = []
    clock = SystemClock()
    keeper._session.on_lost(lambda *_: told_at.append(clock.monotonic()))
    await keeper.start()
    await keeper._session.join("{a}")

    rows.hangs = True
    await heard(SessionLost, within_s=2)

    ends_at = rows.rows["{a}"]["me.1"] / 1000
    assert told_at[0] < ends_at


async def test_what_keeps_the_store_from_opening_is_told_and_leaves_no_thread(
    make_keeper: MakeKeeper,
) -> None:
    def broken() -> SessionStore:
        raise StoreUnavailable("no store today")

    keeper = make_keeper(open_store=broken)

    with pytest.raises(StoreUnavailable, match="no store today"):
        await asyncio.wait_for(keeper.start(), 2)

    assert keepers_alive() == 0


@pytest.mark.parametrize("turns", range(4))
async def test_a_start_that_is_cancelled_leaves_no_thread(
    turns: int, make_keeper: MakeKeeper
) -> None:
    keeper = make_keeper()
    starting = asyncio.create_task(keeper.start())
    for _ in range(turns):
        await asyncio.sleep(0)

    starting.cancel()
    await asyncio.wait([starting])
    await keeper.stop()

    assert keepers_alive() == 0


async def test_a_keeper_may_be_stopped_twice_before_and_after_and_start_again(
    rows: FakeStore, make_keeper: MakeKeeper
) -> None:
    keeper = make_keeper()
    await keeper.stop()
    await keeper.start()
    await asyncio.gather(keeper.stop(), keeper.stop())
    await keeper.stop()
    assert keepers_alive() == 0

    await keeper.start()
    await keeper._session.join("{a}")
    while rows.count("renew") < 1:
        await asyncio.sleep(0.01)
    await keeper.stop()

    assert rows.closed == 2


async def test_stopping_while_a_renewal_hangs_is_prompt(
    rows: FakeStore, make_keeper: MakeKeeper
) -> None:
    keeper = make_keeper()
    await keeper.start()
    await keeper._session.join("{a}")
    rows.hangs = True
    while rows.count("renew") < 1:
        await asyncio.sleep(0.01)
    loop = asyncio.get_running_loop()
    begun = loop.time()

    await keeper.stop()

    assert loop.time() - begun < 0.5
    assert keepers_alive() == 0


async def test_a_thread_that_hangs_is_left_to_itself(
    rows: FakeStore, make_keeper: MakeKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "THREAD_END_S", 0.1)
    let_go = threading.Event()

    class Hanging(FakeStore):
        async def close(self) -> None:
            let_go.wait(5)

    keeper = make_keeper(open_store=lambda: Hanging(SystemClock()))
    await keeper.start()
    loop = asyncio.get_running_loop()
    begun = loop.time()

    await keeper.stop()

    assert loop.time() - begun < 1
    let_go.set()
    while keepers_alive():
        await asyncio.sleep(0.01)


def test_a_process_that_forgets_to_stop_it_is_not_kept_by_it(
    rows: FakeStore, heard: Heard
) -> None:
    async def forget() -> None:
        clock = SystemClock()
        session = Session("me", rows, TERMS, heard.emit, clock)
        keeper = Keeper(
            session, lambda: rows, emit=heard.emit, clock=clock, chance=Chance(1)
        )
        await keeper.start()
        await session.join("{a}")

    asyncio.run(forget())

    deadline = time.monotonic() + 3
    while keepers_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert keepers_alive() == 0


async def test_an_error_nobody_foresaw_is_told_and_the_keeper_goes_on(
    rows: FakeStore, make_keeper: MakeKeeper, heard: Heard
) -> None:
    keeper = make_keeper()
    renew = rows.renew

    async def broken(*what: object) -> object:
        raise TypeError("an odd answer")

    await keeper.start()
    rows.renew = broken  # type: ignore[assignment, method-assign]
    await keeper._session.join("{a}")
    failed = await heard(RoleFailed)
    rows.renew = renew  # type: ignore[method-assign]
    while rows.count("renew") < 1:
        await asyncio.sleep(0.01)

    assert (failed.role, failed.error) == ("keeper", "TypeError: an odd answer")
    assert keeper._session.name_in("{a}") == "me.1"


# Planted bugs: each guard above is seen red on the bug that it is for.


class KeepsTheDead(Keeper):
    """Renews for a loop that does not come round any more."""

    def _is_stalled(self, now: float) -> bool:
        return False


async def test_a_keeper_that_keeps_the_dead_is_found_out(
    rows: FakeStore, make_keeper: MakeKeeper, heard: Heard
) -> None:
    with pytest.raises(AssertionError):
        await test_a_loop_that_is_blocked_too_long_loses_it_and_learns_it_at_once(
            rows, lambda terms: make_keeper(terms, KeepsTheDead), heard
        )


class LooksOnlyAfterAsking(Keeper):
    """Finds out that trust has ended when its own question was given up."""

    def _pulse(self) -> None:
        assert self._loop is not None
        self._pulse_at = self._clock.monotonic()
        self._beat = self._loop.call_later(0.25, self._pulse)

    async def tick(self) -> float:
        rest_s = await super().tick()
        self._in_loop(lambda: self._session.look() and None)
        return rest_s

    async def _renew(self, member: object) -> bool:
        await asyncio.sleep(TERMS.ttl_s)
        return False


async def test_a_keeper_that_looks_too_late_is_found_out(
    rows: FakeStore, make_keeper: MakeKeeper, heard: Heard
) -> None:
    with pytest.raises(AssertionError):
        await test_the_loss_is_told_before_the_server_could_give_the_claim_away(
            rows, lambda: make_keeper(TERMS, LooksOnlyAfterAsking), heard
        )
