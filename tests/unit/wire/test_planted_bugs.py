"""Each guard is seen red on the bug that it is for.

A broken kind of `Calls` is made for every story of `stories.py`; the story must fail
on it. A guard that no bug can turn red guards nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.wire.conftest import MakeCalls
from tests.unit.wire.scripted_server import ScriptedServer
from tests.unit.wire.stories import (
    Story,
    a_cancelled_call_keeps_its_place,
    a_half_closed_connection_is_left,
    a_late_reply_ends_the_connection,
    nobody_gets_what_is_not_his,
    only_the_idempotent_is_sent_again,
    two_connections_never_share_a_line,
)

from quorate.core.errors import OutcomeUnknown
from quorate.wire.calls import Calls
from quorate.wire.link import Link
from quorate.wire.orders import Order


class GivesUpItsPlace(Calls):
    """A cancelled caller leaves the line, so its reply goes to the next one."""

    def _send(self, packed: bytes, order: Order) -> asyncio.Future[Any]:
        future = super()._send(packed, order)

        def leave(done: asyncio.Future[Any]) -> None:
            if done.cancelled():
                self._pending = deque(p for p in self._pending if p[0] is not done)

        future.add_done_callback(leave)
        return future


class KeepsWhatIsLate(Calls):
    """A missed deadline is told to its caller, and the connection is kept."""

    def _look(self) -> None:
        self._watch = None
        for future, _ in self._pending:
            if not future.done():
                future.set_exception(OutcomeUnknown("late"))
        self._pending.clear()


class SharesTheLine(Calls):
    """A new connection begins while callers of the old one still wait."""

    async def _connect(self) -> None:
        if self._link is not None and not self._link.is_open:
            self._link.mute()
            self._link = None
        kept, self._pending = self._pending, deque()
        self._outbox = []
        await super()._connect()
        self._pending = kept + self._pending


class SendsEverythingAgain(Calls):
    """What may have happened is done once more."""

    async def _ask(self, packed: bytes, order: Order, failed: Any = None) -> Any:
        return await super()._ask(packed, replace(order, again=True), failed)


class SendsNothingAgain(Calls):
    """Even what could safely be sent again is given up."""

    async def _ask(self, packed: bytes, order: Order, failed: Any = None) -> Any:
        return await super()._ask(packed, replace(order, again=False), failed)


@pytest.mark.parametrize(
    ("story", "broken"),
    [
        (a_cancelled_call_keeps_its_place, GivesUpItsPlace),
        (nobody_gets_what_is_not_his, GivesUpItsPlace),
        (a_late_reply_ends_the_connection, KeepsWhatIsLate),
        (two_connections_never_share_a_line, SharesTheLine),
        (only_the_idempotent_is_sent_again, SendsEverythingAgain),
        (only_the_idempotent_is_sent_again, SendsNothingAgain),
    ],
    ids=lambda value: value.__name__,
)
async def test_the_story_goes_red(
    story: Story, broken: type[Calls], scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception, OutcomeUnknown)):
        async with asyncio.timeout(5):
            await story(scripted, make_calls(broken, timeout_s=0.25))


async def test_the_story_of_the_half_closed_goes_red(
    scripted: ScriptedServer, make_calls: MakeCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Link, "eof_received", asyncio.Protocol.eof_received)

    with pytest.raises(TimeoutError):
        await a_half_closed_connection_is_left(scripted, make_calls(timeout_s=3))
