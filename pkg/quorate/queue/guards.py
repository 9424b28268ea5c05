"""What may keep a task from being put in twice, or from starting although it is ready.

A unique key lets one task of a kind be there at a time; a slot lets so many tasks of a
key run at once; a rate spreads their beginnings. A guard travels in front of the
envelope, where the server finds it; tasks without guards cost nothing. Pure.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from enum import Enum

from quorate.core.codec import Json
from quorate.core.errors import InvalidInput
from quorate.core.names import check_name

GUARDED = b"!"
"""What an envelope with guards begins with."""

_BETWEEN = "\x1f"
MOST_AT_ONCE = 1000
LONGEST_WINDOW_S = 366 * 86_400.0
BURST_S = 0.1
"""Unless said otherwise, what a rate allows in this time may come at once."""


class UniqueScope(Enum):
    """How long a unique key belongs to its task."""

    UNTIL_STARTED = "until_started"
    UNTIL_FINISHED = "until_finished"
    WINDOW = "window"


_SCOPES = tuple(UniqueScope)


@dataclass(frozen=True, slots=True)
class Unique:
    """At most one task of this key is there; enqueueing another answers with its id.

    The key belongs to a task until a worker has claimed it, or until it is over (done,
    cancelled or dead), or for `window_s` from its enqueueing on, whatever becomes of
    it. Each queue has keys of its own. An empty key stands for the task's name and
    payload. A replay takes the key again, and is left out if another task has it.
    """

    key: str = ""
    scope: UniqueScope = UniqueScope.UNTIL_FINISHED
    window_s: float = 0.0

    def __post_init__(self) -> None:
        is_window = self.scope is UniqueScope.WINDOW
        if isinstance(self.scope, UniqueScope) and _is_number(self.window_s):
            fits = 0.001 <= self.window_s <= LONGEST_WINDOW_S
            if fits if is_window else not self.window_s:
                return
        scope = getattr(self.scope, "value", self.scope)
        raise InvalidInput(
            f"A unique key with scope {scope!r} and window_s={self.window_s!r} "
            "cannot be used.",
            "A window lasts from a millisecond to a year; the other scopes have none.",
            "Give Unique(key, UniqueScope.WINDOW, window_s=60) or no window_s.",
        )


@dataclass(frozen=True, slots=True)
class Slot:
    """At most `limit` tasks of this key run at once, in all workers together.

    A slot is held like a lock: by the session of the worker, with the task's token. If
    the session ends, the slot is free. Tasks that wait for it wait apart, in order of
    lane and age, and come back to the front of their lane.
    """

    key: str
    limit: int = 1

    def __post_init__(self) -> None:
        if not _is_whole(self.limit) or not 1 <= self.limit <= MOST_AT_ONCE:
            raise InvalidInput(
                f"A slot cannot let {self.limit!r} tasks run at once.",
                "",
                f"Give a limit from 1 to {MOST_AT_ONCE}.",
            )


@dataclass(frozen=True, slots=True)
class Rate:
    """So many tasks may begin in `per_s`, evenly spread; attempts count, not tasks.

    `burst` may begin at once after a quiet time; without it, what the rate allows in a
    tenth of a second. Source: the generic cell rate algorithm, ITU-T I.371. The key is
    needed where a rate goes with a task.
    """

    limit: int
    per_s: float = 1.0
    burst: int = 0
    key: str = ""

    def __post_init__(self) -> None:
        is_told = _is_whole(self.limit, self.burst) and _is_number(self.per_s)
        if not (
            is_told
            and 1 <= self.limit <= 10**6
            and 0 < self.per_s <= LONGEST_WINDOW_S
            and self.limit / self.per_s <= 10**6
            and 0 <= self.burst <= 10**6
        ):
            raise InvalidInput(
                f"A rate of {self.limit!r} in {self.per_s!r} s with bursts of "
                f"{self.burst!r} cannot be used.",
                "Whole numbers: at least one a year, at most a million a second.",
                "Give for instance Rate(100, per_s=60), or a pause for none at all.",
            )

    @property
    def interval_us(self) -> int:
        """Microseconds between two, on the average."""
        return max(1, round(self.per_s / self.limit * 1e6))

    @property
    def most_at_once(self) -> int:
        """How many may begin at once after a quiet time."""
        return self.burst or max(1, math.ceil(self.limit / self.per_s * BURST_S))


def guard_line(
    name: str,
    payload: Json,
    guards: tuple[Unique | None, Slot | None, Rate | None],
) -> bytes:
    """The line in front of the envelope. Raises `InvalidName` for a faulty key."""
    unique, slot, rate = guards
    _check_kinds(name, guards)
    words: list[tuple[str, int, int, str]] = []
    if unique is not None:
        key = unique.key or digest(name, payload)
        words.append(
            ("u", _SCOPES.index(unique.scope), round(unique.window_s * 1000), key)
        )
    if rate is not None:
        if not rate.key:
            raise InvalidInput(
                f"The task {name!r} cannot be enqueued.",
                "Its rate has no key; it is for all tasks of one key.",
                "Give Rate(100, key=…), or set one for all with queue.set_rate(…).",
            )
        words.append(("k", rate.interval_us, rate.most_at_once, rate.key))
    if slot is not None:
        words.append(("s", slot.limit, 0, slot.key))
    if not words:
        return b""
    texts = [
        f"{kind}|{first}|{second}|{check_name(key, 'guard')}"
        for kind, first, second, key in words
    ]
    return f"!{_BETWEEN.join(texts)}\n".encode()


def _check_kinds(name: str, guards: tuple[object, object, object]) -> None:
    for guard, kind in zip(guards, (Unique, Slot, Rate), strict=True):
        if guard is not None and not isinstance(guard, kind):
            raise InvalidInput(
                f"The task {name!r} cannot be guarded by {guard!r}.",
                f"That is no {kind.__name__}.",
                "Give unique=Unique(key), slot=Slot(key), rate=Rate(100, key=key).",
            )


def _is_whole(*values: object) -> bool:
    return all(type(value) is int for value in values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def digest(name: str, payload: Json) -> str:
    """A key for tasks of this name with this payload."""
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), default=str)
    return f"{name[:100]}~{hashlib.sha256(text.encode()).hexdigest()[:32]}"
