"""Tasks in: what the broker has sent to this process, and what became of it.

A letter is *here* from its delivery on, and *held* once it is claimed. Whatever is here
and not held when nobody has room for it for a while is given back as a new copy: the
broker would count a plain return as a death.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from quorate.core.errors import StoreError, StoreUnavailable
from quorate.queue.desk import forever
from quorate.queue.lanes import Counts
from quorate.queue.model import LANES, Lease
from quorate.queue.ports import Request
from quorate.wire.rabbit import RabbitWire

from .letters import Letter, Record
from .memory import Memory
from .sending import Sending
from .tap import Tap
from .topology import GIVEN_UP_AFTER

MOST_PREFETCH = 256
WORN_AT = GIVEN_UP_AFTER // 2


@dataclass(frozen=True, slots=True)
class Harvest:
    """What a claim brought.

    `poisoned` letters are of tasks that have died too often, `stale` ones of tasks that
    are over or have a newer copy, `worn` ones were returned often without a death.
    """

    leases: list[Lease]
    poisoned: list[Letter]
    stale: list[Letter]
    worn: list[Letter]
    is_short: bool = True


class Reception:
    """The consuming side of one task queue in this process."""

    def __init__(
        self,
        wire: RabbitWire,
        sending: Sending,
        memory: Memory,
        arrived: Callable[[], None],
    ) -> None:
        self._wire = wire
        self._sending = sending
        self._memory = memory
        config = sending.topology.config
        prefetch = min(config.concurrency, MOST_PREFETCH)
        self.taps = tuple(
            Tap(lane, shape.name, prefetch, wire.clock, arrived)
            for lane, shape in enumerate(sending.topology.lanes)
        )
        self.held: dict[int, Letter] = {}
        self._ids: dict[str, int] = {}
        self._token = 0
        self.session = ""
        self._changing = asyncio.Lock()
        self.full_since: float | None = None
        self.told_broken: Callable[[BaseException | None], None] = lambda _: None
        self.longest_wait_s = forever
        for tap in self.taps:
            tap.on_broken = self._broken

    @property
    def depths(self) -> Counts:
        """Letters here that nobody has claimed, by lane."""
        high, normal, low = (len(tap.letters) for tap in self.taps)
        return high, normal, low

    @property
    def heads(self) -> tuple[str, str, str]:
        """The first task of each lane here, or nothing."""
        high, normal, low = (
            tap.letters[0].id if tap.letters else "" for tap in self.taps
        )
        return high, normal, low

    async def belong_to(self, session: str) -> None:
        """What follows is done in this session's name. Another one has lost all.

        Until that is so nobody can claim anything, in either name.
        """
        if session == self.session:
            return
        async with self._changing:
            if session == self.session:
                return
            self.session = ""
            self.forget()
            for tap in self.taps:
                await tap.close()
            self.session = session

    def forget(self) -> None:
        """The connection is lost: what was held belongs to others, and nobody died."""
        for letter in self.held.values():
            self._memory.survived(letter.id, letter.record.turn)
        for tap in self.taps:
            for letter in tap.letters:
                self._memory.survived(letter.id, letter.record.turn)
            tap.letters.clear()
        self.held.clear()
        self._ids.clear()

    async def open(self) -> None:
        """Let the broker send."""
        self.full_since = None
        if all(tap.is_open for tap in self.taps):
            return
        await self._sending.ensure()
        away: StoreError | None = None
        for tap in self.taps:
            try:
                await tap.open(self._wire.consuming)
            except StoreUnavailable as error:
                away = error
        if away is not None and not any(tap.is_open for tap in self.taps):
            raise away

    async def close(self, but: int | None = None) -> None:
        """Let nothing more come and give back what is here, but for what is held.

        With the token `but` also what is held is given back, except for that one.
        """
        for tap in self.taps:
            await tap.shut()
        for tap in self.taps:
            here = list(tap.letters)
            tap.letters.clear()
            try:
                await self.give_back(here)
            except StoreError:
                tap.letters.extend(here)
                raise
        if but is not None:
            held = {token: each for token, each in self.held.items() if token != but}
            await self.give_back(list(held.values()))
            for token in held:
                self.release(token)
        for tap in self.taps:
            await tap.told()

    async def give_back_old(self) -> None:
        """Give back what has waited here for so long that it could not run any more."""
        oldest = self._wire.clock.monotonic() - self.longest_wait_s()
        for tap in self.taps:
            here = [letter for letter in tap.letters if letter.came_at < oldest]
            for letter in here:
                tap.letters.remove(letter)
            try:
                await self.give_back(here)
            except StoreError:
                tap.letters.extendleft(reversed(here))
                raise

    def claim(self, request: Request) -> Harvest:
        """Take from the lanes as asked; places that are left are filled from any."""
        total, others = request.slots.total, request.slots.others
        harvest = Harvest([], [], [], [])
        for turn in (request.takes, (total, total, total)):
            for lane in range(LANES):
                most = min(turn[lane], total if lane == 0 else min(total, others))
                taken = self._take(lane, most, harvest)
                total -= taken
                others -= taken if lane else 0
        return replace(harvest, is_short=total > 0)

    def unclaim(self, leases: Sequence[Lease]) -> None:
        """Nobody will hear of these: they wait here again, before all others."""
        for lease in reversed(leases):
            letter = self.release(lease.token)
            if letter is not None:
                self.taps[letter.record.lane].letters.appendleft(letter)

    def release(self, token: int) -> Letter | None:
        """It is held no longer; None if it was not."""
        letter = self.held.pop(token, None)
        if letter is not None:
            self._ids.pop(letter.id, None)
        return letter

    async def settle(self, letters: Sequence[Letter]) -> None:
        """The broker may forget these. One whose channel is gone will come again."""
        for letter in letters:
            await self.taps[letter.record.lane].settle(letter)

    def _broken(self, error: BaseException | None) -> None:
        """A channel was closed: what it had brought is lost."""
        self.told_broken(error)
        self._wire.give_up()

    def _take(self, lane: int, most: int, harvest: Harvest) -> int:
        letters, taken = self.taps[lane].letters, 0
        budget = self._sending.topology.config.crash_budget
        while letters and taken < most:
            letter = letters.popleft()
            if self._takes_over(letter):
                continue
            if self._is_stale(letter):
                harvest.stale.append(letter)
            elif self.crashes(letter) >= budget:
                harvest.poisoned.append(letter)
            elif letter.returns >= WORN_AT:
                harvest.worn.append(letter)
            else:
                harvest.leases.append(self._hold(letter))
                taken += 1
        return taken

    def _takes_over(self, letter: Letter) -> bool:
        """Has what is held come again, because its channel is gone?

        The first delivery can be acknowledged no more, so this one stands for it now.
        """
        token = self._ids.get(letter.id)
        if token is None:
            return False
        former = self.held[token]
        if former.record.turn != letter.record.turn or self.taps[
            former.record.lane
        ].knows(former):
            return False
        self.held[token] = letter
        return True

    def _is_stale(self, letter: Letter) -> bool:
        is_held = letter.id in self._ids
        return is_held or self._memory.is_stale(letter.id, letter.record.turn)

    def crashes(self, letter: Letter) -> int:
        """Deaths under it, without those that this process knows to be none."""
        none = self._memory.no_crashes(letter.id, letter.record.turn)
        return letter.crashes_but(none)

    def _hold(self, letter: Letter) -> Lease:
        self._token = max(self._token + 1, int(self._wire.clock.now() * 1_000_000))
        self.held[self._token] = letter
        self._ids[letter.id] = self._token
        return letter.lease(self.session, self._token, self.crashes(letter))

    async def give_back(self, letters: Sequence[Letter]) -> None:
        if not letters:
            return
        await self._sending.copies(
            [
                (each.id, next_copy(each, crashes=self.crashes(each)), each.envelope, 0)
                for each in letters
            ]
        )
        for letter in letters:
            self._memory.moved(letter.id, letter.record.turn + 1)
        await self.settle(letters)


def next_copy(
    letter: Letter,
    *,
    failures: int | None = None,
    crashes: int,
    bounces: int | None = None,
) -> Record:
    """The record of the next copy of this task."""
    record = letter.record
    return Record(
        lane=record.lane,
        turn=record.turn + 1,
        failures=record.failures if failures is None else failures,
        crashes=crashes,
        bounces=record.bounces if bounces is None else bounces,
    )
