"""The hands of a nemesis: killing, pausing, poisoning links.

Each undoes what it did, and undoing twice is harmless. What they strike is given by
name; anything with the right two methods will do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from .proxy import FaultProxy
from .toxics import Toxic


class Mortal(Protocol):
    """A process that can be killed and started again."""

    def kill(self) -> None: ...

    async def restart(self) -> None: ...


class Pausable(Protocol):
    """A process that can be stopped (SIGSTOP) and go on."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Killing:
    """Kills; heals by starting again."""

    def __init__(self, victims: Mapping[str, Mortal]) -> None:
        self._victims = victims

    async def strike(self, target: str, strength: float) -> None:
        self._victims[target].kill()

    async def heal(self, target: str) -> None:
        await self._victims[target].restart()


class Pausing:
    """Stops; heals by letting it go on."""

    def __init__(self, victims: Mapping[str, Pausable]) -> None:
        self._victims = victims

    async def strike(self, target: str, strength: float) -> None:
        self._victims[target].pause()

    async def heal(self, target: str) -> None:
        self._victims[target].resume()


class Poisoning:
    """Adds a toxic to a link, as strong as `make` makes it; heals by removing it."""

    def __init__(
        self, links: Mapping[str, FaultProxy], make: Callable[[float], Toxic]
    ) -> None:
        self._links = links
        self._make = make
        self._active: dict[str, Toxic] = {}

    async def strike(self, target: str, strength: float) -> None:
        toxic = self._active[target] = self._make(strength)
        await self._links[target].add(toxic)

    async def heal(self, target: str) -> None:
        toxic = self._active.pop(target, None)
        if toxic is not None:
            await self._links[target].remove(toxic)


class Doing:
    """Any other harm, by two functions of the target's name."""

    def __init__(
        self,
        strike: Callable[[str], Awaitable[None]],
        heal: Callable[[str], Awaitable[None]],
    ) -> None:
        self._strike = strike
        self._heal = heal

    async def strike(self, target: str, strength: float) -> None:
        await self._strike(target)

    async def heal(self, target: str) -> None:
        await self._heal(target)
