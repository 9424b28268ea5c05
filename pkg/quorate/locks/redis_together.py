"""Several locks of one tag in one request."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.core.errors import OutcomeUnknown, StoreUnavailable
from quorate.wire.keys import sessions_key
from quorate.wire.link import Reply
from quorate.wire.redis import Wire
from quorate.wire.scripts import load

from .answers import Ask, Granted
from .confirming import call_confirmed
from .redis_replies import key_name, read_granted

_TAKE_ALL = load("quorate.locks", "take_all")


async def take_all(
    wire: Wire, tag: str, me: str, asks: Sequence[Ask], asked_at: float, *, first: bool
) -> list[Granted] | None:
    """All or none; [] if one is taken, None if the session is over."""
    one = asks[0]
    args: list[str | int] = [
        *(me, "s" if one.shared else "x", round(one.hard_s * 1000)),
        *(one.owner, one.label, int(first)),
    ]
    for ask in asks:
        args += (key_name(ask.name), ask.id)
    keys = [sessions_key(tag)]
    if one.confirm:
        reply = await call_confirmed(wire, _TAKE_ALL, keys, args, one.confirm)
        echo = False
    else:
        reply, echo = await _send(wire, keys, args)
    if reply[0] == b"dead":
        return None
    if reply[0] != b"granted":
        return []
    return [
        read_granted(
            [b"granted", reply[1], *reply[2 + 3 * number : 5 + 3 * number]],
            ask, (tag, me), asked_at, echo=echo,
        )
        for number, ask in enumerate(asks)
    ]  # fmt: skip


async def _send(
    wire: Wire, keys: list[str], args: list[str | int]
) -> tuple[list[Reply], bool]:
    """The reply, and whether a second copy may still arrive."""
    try:
        return await wire.calls.call(_TAKE_ALL, keys, args), False
    except OutcomeUnknown:
        pass
    try:
        return await wire.calls.call(_TAKE_ALL, keys, args), True
    except StoreUnavailable as error:
        raise OutcomeUnknown(
            "Nobody knows whether the locks were taken.", error.why
        ) from error
