"""Who wants to hear of changes, and how each is told.

A subscriber is told what differs between the snapshot it knows and the one in force, so
one that is slow hears of several changes as one and never misses the final value. Each
has a task of its own; what it raises harms nobody (`watch.callbacks`).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import cast

from quorate.core.codec import Json
from quorate.core.errors import InvalidInput
from quorate.core.events import Emit
from quorate.watch.callbacks import Callbacks, CallbackStats
from quorate.watch.patterns import Pattern

from .assembly import Assembly, ConfigChange
from .diff import diff, same
from .layers import Snapshot
from .tree import MISSING, copied

OnChange = Callable[[ConfigChange], object] | Callable[[str, Json, Json], object]
"""Plain or async: `(change)`, once for each swap, or `(key, old, new)` for each key."""

OnValue = Callable[[Json], object]


class Subscribers:
    """The callbacks of one manager. Hears of swaps from its `Assembly`."""

    def __init__(self, assembly: Assembly, emit: Emit) -> None:
        self._assembly = assembly
        self._callbacks: Callbacks[[]] = Callbacks("config", emit)
        self._watchers: list[ConfigWatcher] = []
        self._open = False
        assembly.on_swap(self._tell)

    def open(self) -> None:
        """Tell from now on; what changed before is told as one change."""
        self._open = True
        self._callbacks.tell()

    def add(self, callback: OnChange) -> Callable[[], None]:
        """Tell `callback` of every change. Returns the function that ends it."""
        tell = _of_changes(callback)
        seen = self._assembly.snapshot

        async def deliver() -> None:
            nonlocal seen
            old, seen = seen, self._assembly.snapshot
            changes = diff(old.tree, seen.tree)
            if changes:
                await tell(ConfigChange(changes, old, seen))

        deliver.__qualname__ = _name(callback)
        return self._callbacks.add(deliver)

    def watch(self, pattern: str, callback: OnValue) -> ConfigWatcher:
        """Tell `callback` the value of a key, or of several, when it changes."""
        watcher = ConfigWatcher(Pattern.parse(pattern), callback, self._assembly)
        self._watchers.append(watcher)

        async def look() -> None:
            await watcher.look()

        look.__qualname__ = _name(callback)
        leave = self._callbacks.add(look)

        def close() -> None:
            leave()
            if watcher in self._watchers:
                self._watchers.remove(watcher)

        watcher.close = close
        return watcher

    def interested(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        """The patterns of watchers that a change of `keys` would reach."""
        return tuple(
            watcher.key
            for watcher in self._watchers
            if any(watcher.wants(key) for key in keys)
        )

    async def settled(self, within_s: float) -> bool:
        """Wait until everybody has been told; False if `within_s` ran out."""
        return await self._callbacks.settled(within_s)

    async def close(self) -> None:
        """Tell nobody any more."""
        self._open = False
        await self._callbacks.stop()

    def stats(self) -> CallbackStats:
        """Counts of calls, failures and drops."""
        return self._callbacks.stats()

    def _tell(self) -> None:
        if self._open:
            self._callbacks.tell()


class ConfigWatcher:
    """One watch of a key or a pattern. `close()` ends it.

    A plain key may name a value or a section. With `*` or `**` the value is a mapping
    of all keys that match. A key that is gone has the value None.
    """

    def __init__(self, pattern: Pattern, callback: OnValue, assembly: Assembly) -> None:
        self._pattern = pattern
        self._callback = callback
        self._assembly = assembly
        self._last = self._value(assembly.snapshot)
        self.revision = assembly.snapshot.revision
        self.close: Callable[[], None] = lambda: None

    @property
    def key(self) -> str:
        """The key or pattern."""
        return self._pattern.text

    @property
    def last_value(self) -> Json:
        """The value as last told, or as found in the beginning."""
        return None if self._last is MISSING else copied(self._last)

    def wants(self, key: str) -> bool:
        """Whether a change of the value at `key` concerns this watch."""
        if self._pattern.is_plain:
            plain = self._pattern.text
            return key == plain or key.startswith(f"{plain}.")
        return self._pattern.matches(key)

    async def look(self) -> None:
        """Tell the callback if the value is another than before."""
        snapshot = self._assembly.snapshot
        value = self._value(snapshot)
        if same(value, self._last):
            return
        self._last, self.revision = value, snapshot.revision
        result = self._callback(self.last_value)
        if inspect.isawaitable(result):
            await result

    def _value(self, snapshot: Snapshot) -> Json:
        if self._pattern.is_plain:
            return snapshot.paths.get(self._pattern.text, MISSING)
        return {
            key: value
            for key, value in snapshot.paths.items()
            if not isinstance(value, dict) and self._pattern.matches(key)
        }


def _of_changes(callback: OnChange) -> Callable[[ConfigChange], Awaitable[None]]:
    """`callback` in its one shape: it is told a change and may be awaited."""
    if not callable(callback):
        raise InvalidInput(
            f"{callback!r} cannot be called.",
            "",
            "Give a function of (change) or of (key, old, new), plain or async.",
        )
    if _takes_three(callback):
        by_key = cast(Callable[[str, Json, Json], object], callback)

        async def tell_keys(change: ConfigChange) -> None:
            for one in change.changes:
                result = by_key(one.key, copied(one.old), copied(one.new))
                if inspect.isawaitable(result):
                    await result

        return tell_keys
    whole = cast(Callable[[ConfigChange], object], callback)

    async def tell(change: ConfigChange) -> None:
        result = whole(change)
        if inspect.isawaitable(result):
            await result

    return tell


def _takes_three(callback: Callable[..., object]) -> bool:
    try:
        given = inspect.signature(callback).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    needed = [p for p in given if p.kind in positional and p.default is p.empty]
    return len(needed) == 3


def _name(callback: Callable[..., object]) -> str:
    return getattr(callback, "__qualname__", type(callback).__qualname__)
