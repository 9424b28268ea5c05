"""Several locks at once: all of them or none, in one order for everybody.

If all are free, one request takes them. Otherwise they are taken one after the other in
the order of their names, so that two who want the same ones never wait for each other.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from contextlib import AsyncExitStack

from quorate.core.errors import LockNotGranted

from .answers import Was
from .desk import LockDesk
from .hold import Hold
from .lock import Grant, LockBlock
from .wish import Wish


class _Hands:
    """The desk of one of the blocks: its lock is taken already, and goes back with all.

    What the inner blocks return leaves together with what the outermost does.
    """

    def __init__(
        self, desk: LockDesk, hold: Hold | None, returns: list[asyncio.Task[Was]],
        *, is_outermost: bool,
    ) -> None:  # fmt: skip
        self._desk = desk
        self._hold = hold
        self._returns = returns
        self._is_outermost = is_outermost

    async def take(self, wish: Wish, task: asyncio.Task[object]) -> Hold:
        return self._hold or await self._desk.take(wish, task)

    async def give_back(self, hold: Hold) -> Was:
        if not self._is_outermost and not hold.lost:
            self._returns.append(self._desk.give_back_soon(hold))
            return "held"
        was = await self._desk.give_back(hold)
        others = await asyncio.gather(*self._returns)
        return "unknown" if "unknown" in others else was

    async def upgrade(self, hold: Hold, owner: object, wait_s: float | None) -> None:
        await self._desk.upgrade(hold, owner, wait_s)

    async def downgrade(self, hold: Hold) -> None:
        await self._desk.downgrade(hold)


class LockAllBlock:
    """`async with` it: waits for all locks, gives all back at the end. Used once."""

    def __init__(self, desk: LockDesk, wishes: Sequence[Wish]) -> None:
        self._desk = desk
        self._wishes = tuple(wishes)
        self._stack: AsyncExitStack | None = None

    async def __aenter__(self) -> tuple[Grant, ...]:
        if self._stack is not None:
            raise RuntimeError("a lock block is used once: call lock_all again")
        wait_s = self._wishes[0].wait_s
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(wait_s or None):
                    grants = await self._enter(stack)
            except LockNotGranted:
                raise
            except TimeoutError as error:
                raise _in_vain(self._wishes, wait_s) from error
            self._stack = stack.pop_all()
        return tuple(grants[wish.name] for wish in self._wishes)

    async def __aexit__(self, *how: object) -> None:
        assert self._stack is not None
        await self._stack.__aexit__(*how)  # type: ignore[arg-type]

    async def _enter(self, stack: AsyncExitStack) -> dict[str, Grant]:
        ordered = sorted(
            {wish.name: wish for wish in self._wishes}.values(), key=lambda w: w.name
        )
        taken = await self._desk.take_all(ordered)
        returns: list[asyncio.Task[Was]] = []
        grants: dict[str, Grant] = {}
        for wish in ordered:
            waits = wish if wish.is_try else dataclasses.replace(wish, wait_s=None)
            hands = _Hands(
                self._desk, taken.get(wish.name), returns, is_outermost=not grants
            )
            grants[wish.name] = await stack.enter_async_context(LockBlock(hands, waits))
        return grants


def _in_vain(wishes: Sequence[Wish], wait_s: float | None) -> LockNotGranted:
    names = ", ".join(repr(wish.name) for wish in wishes[:5])
    return LockNotGranted(
        f"Not all of {names} were granted within {wait_s or 0:g} s; none is held.",
        fix="Wait longer with wait_s=…, or ask who holds them.",
    )
