"""A store, a session and a keeper whose thread is not started: the test ticks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.unit.lease.fake_store import FakeStore

from quorate.core.clock import Chance
from quorate.lease.keeper import Keeper
from quorate.lease.lease import LeaseTerms
from quorate.lease.session import Session
from quorate.testing.clock import ManualClock
from quorate.testing.heard import Heard

TERMS = LeaseTerms(ttl_s=10.0, renew_every_s=3.0, retry_every_s=0.5, max_stall_s=20.0)


@pytest.fixture
def store(clock: ManualClock) -> FakeStore:
    return FakeStore(clock)


@pytest.fixture
def session(store: FakeStore, heard: Heard, clock: ManualClock) -> Session:
    return Session("me", store, TERMS, heard.emit, clock)


class HandKeeper(Keeper):
    """A keeper that has no thread: passes and pulses are the test's."""

    late: list[tuple[str, float]]

    def beats(self) -> None:
        """The process's loop comes round."""
        if self._beat is not None:
            self._beat.cancel()
        self._pulse()

    async def passes(self) -> float:
        """One round of the keeper, and what it says to the process's loop."""
        rest_s = await self.tick()
        await asyncio.sleep(0)
        return rest_s


@pytest.fixture
async def keeper(
    session: Session, store: FakeStore, heard: Heard, clock: ManualClock
) -> AsyncIterator[HandKeeper]:
    keeper = HandKeeper(
        session, lambda: store, emit=heard.emit, clock=clock, chance=Chance(1)
    )
    keeper.late = []
    keeper.on_late(lambda tag, in_s: keeper.late.append((tag, in_s)))
    keeper._loop = asyncio.get_running_loop()
    keeper._store = store
    keeper.beats()
    yield keeper
    await keeper.stop()
