"""One leader at a time, in terms that are numbered upwards.

    election = locks.election("scheduler", candidate="node-1")
    async with election.campaign() as leadership:
        await lead(term=leadership.term)

A term is the token of an exclusive lock that all candidates stand in line for. When it
is lost the block is cancelled, before another candidate can lead.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable

from quorate.core.errors import LockNotGranted
from quorate.core.names import check_name

from .desk import LockDesk
from .hold import Hold
from .lock import Grant, LockBlock
from .model import ELECTION, Leader, LockConfig, LockType, OnLoss
from .store import LockStore, MeetingStore
from .watching import Watch
from .wish import Wish, checked_wish


@dataclasses.dataclass(frozen=True, slots=True)
class Booth:
    """What an election works with."""

    locks: LockStore
    meetings: MeetingStore
    config: LockConfig
    desk: Callable[[], LockDesk]
    look_s: Callable[[], float]


class Leadership:
    """Proof that this candidate leads, for the length of its block."""

    def __init__(self, grant: Grant, hold: Hold, booth: Booth) -> None:
        self._hold = hold
        self._booth = booth
        self._task = asyncio.current_task()
        self.grant = grant

    @property
    def term(self) -> int:
        """The number of this leadership: higher than any before it."""
        return self.grant.token

    def check(self) -> None:
        """Raise `LockLostError` unless this candidate leads now. Costs no request."""
        self.grant.check()

    def valid_for(self) -> float:
        """Seconds for which nobody else can lead, if nothing is renewed."""
        return self.grant.valid_for()

    async def resign(self) -> None:
        """Lead no more, from here on: the next candidate leads.

        Called in the block, it is the last thing there. Called by another task, it
        stops the block, out of which `LockLostError` comes, and then the next leads.
        """
        self.check()
        inside = asyncio.current_task() is self._task
        await self._booth.desk().resign(self._hold, inside=inside)

    async def transfer(self, to: str) -> None:
        """`resign` in favour of the candidate `to`.

        Raises `LockNotGranted` if it is no candidate now; nothing has changed then.
        """
        self.check()
        name = self._hold.wish.name
        if not await self._booth.meetings.prefer(name, check_name(to, "candidate")):
            raise LockNotGranted(
                f"{to!r} cannot lead {self.grant.name!r}.",
                "No candidate of that name stands in line.",
                "Ask who does: await election.candidates().",
            )
        await self.resign()


class Campaign:
    """`async with` it: waits until this candidate leads. Used once."""

    def __init__(self, booth: Booth, wish: Wish) -> None:
        self._booth = booth
        self._block = LockBlock(booth.desk(), wish)

    async def __aenter__(self) -> Leadership:
        grant = await self._block.__aenter__()
        return Leadership(grant, self._block.hold, self._booth)

    async def __aexit__(self, *how: object) -> None:
        await self._block.__aexit__(*how)  # type: ignore[arg-type]


class Election:
    """One office, and this process's candidate for it."""

    def __init__(self, name: str, candidate: str, booth: Booth) -> None:
        self.name = check_name(name, "election")
        self.candidate = check_name(candidate, "candidate")
        self._booth = booth

    def campaign(
        self,
        *,
        wait_s: float | None = None,
        on_loss: OnLoss = "cancel",
        priority: int = 0,
    ) -> Campaign:
        """Lead for the length of an `async with` block, once it is this one's turn.

        Waits up to `wait_s` (None: as configured, 0: only tries), then raises
        `LockNotGranted`. `on_loss` and `priority` are as with a lock.
        """
        wish = checked_wish(
            self._booth.config, self.name, LockType.EXCLUSIVE, wait_s=wait_s,
            timeout_s=None, label=self.candidate, on_loss=on_loss, priority=priority,
        )  # fmt: skip
        return Campaign(
            self._booth,
            dataclasses.replace(wish, name=ELECTION + self.name, template="(election)"),
        )

    async def leader(self) -> Leader | None:
        """Who leads now, or None. One request."""
        found = await self._booth.locks.explain(ELECTION + self.name)
        for holder in found.holders:
            if holder.ends_in_s is None or holder.ends_in_s > 0:
                return Leader(self.name, holder.token, holder.label, holder.session)
        return None

    async def candidates(self) -> tuple[str, ...]:
        """Who stands in line to lead, the next first. One request."""
        found = await self._booth.locks.explain(ELECTION + self.name)
        return tuple(waiter.label for waiter in found.waiters if waiter.is_alive)

    async def observe(self) -> AsyncIterator[Leader | None]:
        """Who leads now, and then each change; None while nobody does.

        Of changes that follow each other closely only the last may be seen. Raises what
        the store raises.
        """
        name = ELECTION + self.name
        async with Watch(self._booth.meetings, name, self._booth.look_s()) as watch:
            seen = leader = await self.leader()
            yield leader
            while watch.is_open:
                await watch.rings()
                leader = await self.leader()
                if leader != seen:
                    seen = leader
                    yield leader
