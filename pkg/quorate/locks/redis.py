"""Locks on a Redis server: one script takes, one gives back and grants to the next.

The script that ends a hold makes the next living waiter the holder and publishes it to
that process's channel, so a handover costs one round trip and wakes nobody else. The
state is in the server; a message is only a hint. Satisfies `locks.store.LockStore`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

from quorate.core.errors import (
    OutcomeUnknown,
    SessionLostError,
    StoreUnavailable,
)
from quorate.lease.session import Session
from quorate.wire.keys import sessions_key
from quorate.wire.link import Reply
from quorate.wire.redis import Wire
from quorate.wire.scripts import Script, load

from .answers import (
    Answer,
    Ask,
    Busy,
    Granted,
    ResyncNotice,
    Was,
)
from .confirming import call_confirmed
from .model import SEMAPHORE, Explanation, LockLine, shown
from .redis_conversions import RedisConversions
from .redis_replies import (
    key_name,
    pairs,
    place_of,
    read_answer,
    read_holder,
    read_lines,
    read_notice,
    read_waiter,
)
from .redis_roll import RedisRoll
from .redis_together import take_all
from .store import Hear

_ACQUIRE = load("quorate.locks", "acquire")
_LEAVE = load("quorate.locks", "leave")
_CLEAN = load("quorate.locks", "clean")
_EXPLAIN = load("quorate.locks", "explain")
_SURVEY = load("quorate.locks", "survey")
_TAKE_PERMITS = load("quorate.locks", "take_permits")
_RETURN_PERMITS = load("quorate.locks", "return_permits")

REJOINS = 3
PLACES_KNOWN = 4096
BLOCK = 32
"""So many tokens a writer gets, as `acquire` and `granting` have it."""

_NOWHERE = ("", "")
CLEANED_AT_ONCE = 100
WAITERS_TOLD = 1000
_WAS: dict[bytes, Was] = {
    b"held": "held",
    b"waiting": "waiting",
    b"unknown": "unknown",
}


class RedisLocks(RedisConversions, RedisRoll):
    """The locks of one namespace on one server, over the process's wire."""

    def __init__(self, wire: Wire, session: Session) -> None:
        self._wire = wire
        self._session = session
        self._clock = session.clock
        self._hear: Hear | None = None
        self._place = lru_cache(PLACES_KNOWN)(partial(place_of, wire.keys))
        self._channels: dict[str, tuple[str, str]] = {}
        self._entering: dict[str, asyncio.Lock] = {}
        self._claimed: set[str] = set()

    def listen(self, hear: Hear) -> Callable[[], None]:
        """Tell `hear` of grants, losses and missed news. Returns its undoing."""
        self._hear = hear
        forget = self._wire.inbox.on_resync(lambda: hear(ResyncNotice()))

        def leave() -> None:
            self._hear = None
            forget()
            for _, channel in self._channels.values():
                self._wire.inbox.unsubscribe(channel, self._heard)
            self._channels.clear()

        return leave

    async def acquire(self, ask: Ask) -> Answer:
        """Take the lock or stand in line: one request, inside the session."""
        tag, keys, key = self._place(ask.name)
        for _ in range(REJOINS):
            me = self._session.name_in(tag)
            if me is None or self._channels.get(tag, _NOWHERE)[0] != me:
                me = await self._enter(tag)
            if ask.under and ask.under != me:
                raise SessionLostError(f"The session {ask.under} is over.")
            script, args = self._asked(ask, key, me)
            asked_at, echo = self._clock.monotonic(), False
            try:
                if ask.confirm:
                    wire, confirm = self._wire, ask.confirm
                    reply = await call_confirmed(wire, script, keys, args, confirm)
                else:
                    reply = await self._wire.calls.call(script, keys, args)
            except OutcomeUnknown:
                if ask.confirm or self._session.name_in(tag) != me:
                    raise
                reply, echo = await self._once_more(ask.name, script, keys, args), True
            if type(reply) is int:
                return Granted(reply, reply + BLOCK - 1, tag, me, asked_at, echo)
            answer = read_answer(reply, ask, (tag, me), asked_at, echo=echo)
            if answer is None:
                self._session_is_over(tag, me)
                continue
            if not isinstance(answer, Busy):
                self._claimed.add(me)
            return answer
        raise SessionLostError(
            f"{shown(ask.name)!r} cannot be taken: the session ends as soon as it "
            "begins.",
            "The server has refused it several times in a row.",
            "Is its clock right, and is its data not being flushed?",
        )

    async def acquire_all(self, asks: Sequence[Ask]) -> list[Granted]:
        """One request, if all lie under one tag."""
        tags = {self._wire.keys.lock_tag(ask.name) for ask in asks}
        if len(tags) > 1:
            return []
        (tag,) = tags
        me = self._name_in(tag) or await self._enter(tag)
        first, asked_at = me not in self._claimed, self._clock.monotonic()
        granted = await take_all(self._wire, tag, me, asks, asked_at, first=first)
        if granted is None:
            self._session_is_over(tag, me)
        elif granted:
            self._claimed.add(me)
        return granted or []

    async def leave(self, name: str, ident: str, *, echo: bool) -> Was:
        """End a claim: one request."""
        _, keys, key = self._place(name)
        script = _RETURN_PERMITS if name[0] == SEMAPHORE else _LEAVE
        said = (key, ident, "1" if echo else "0")
        return _WAS[await self._wire.calls.call(script, keys, said)]

    async def clean(self, tag: str, session: str) -> None:
        """End all claims of a dead session, some at a time."""
        left = CLEANED_AT_ONCE
        while left > 0:
            args = (session, CLEANED_AT_ONCE)
            left = await self._wire.calls.call(_CLEAN, [sessions_key(tag)], args)

    async def explain(self, name: str) -> Explanation:
        """One request."""
        tag = self._wire.keys.lock_tag(name)
        now_ms, mode, token, holders, waiters = await self._wire.calls.call(
            _EXPLAIN, [sessions_key(tag)], [key_name(name), WAITERS_TOLD]
        )
        return Explanation(
            name=shown(name),
            token=int(token or 0),
            holders=tuple(
                fact
                for record, left_ms in pairs(holders)
                if (fact := read_holder(name, record, now_ms, left_ms / 1000, mode))
            ),
            waiters=tuple(
                read_waiter(name, record, now_ms, left_ms)
                for record, left_ms in pairs(waiters)
            ),
        )

    async def survey(self, most: int) -> list[LockLine]:
        """One request a tag."""
        calls, tags = self._wire.calls, self._wire.keys.lock_tags
        replies = await asyncio.gather(
            *(calls.call(_SURVEY, [sessions_key(tag)], [most]) for tag in tags)
        )
        claims = [
            reply[at : at + 4] for reply in replies for at in range(0, len(reply), 4)
        ]
        return read_lines(claims[:most])

    def _asked(
        self, ask: Ask, key: str, me: str
    ) -> tuple[Script, tuple[str | int, ...]]:
        """Who takes it and what is said to it: no more than there is to say."""
        mode: str | int = ask.weight or ("s" if ask.shared else "x")
        wait, is_first = "1" if ask.wait else "0", me not in self._claimed
        said = (key, ask.id, me, mode, wait, ask.owner, ask.label)
        if not (is_first or ask.hard_s or ask.ahead_s or ask.weight):
            return _ACQUIRE, said
        more = (int(is_first), round(ask.hard_s * 1000), round(ask.ahead_s * 1e6))
        if ask.weight:
            return _TAKE_PERMITS, (*said, *more, ask.permits)
        return _ACQUIRE, (*said, *more)

    async def _once_more(
        self, name: str, script: Script, keys: Sequence[str], args: Sequence[str | int]
    ) -> Reply:
        """The answer was lost. A copy of the ask may still arrive beside this one."""
        try:
            return await self._wire.calls.call(script, keys, args)
        except StoreUnavailable as error:
            raise OutcomeUnknown(
                f"Nobody knows whether {name!r} was taken.", error.why
            ) from error

    @staticmethod
    def index_key(tag: str) -> str:
        """The set of sessions that may have claims here, for the sweeper.

        A session stays in it until it is cleaned, even while it claims nothing.
        """
        return f"{tag}:l:s"

    def _name_in(self, tag: str) -> str | None:
        """The name in the tag, if its channel is heard already."""
        me = self._session.name_in(tag)
        return me if self._channels.get(tag, _NOWHERE)[0] == me else None

    async def _enter(self, tag: str) -> str:
        """Join the tag and hear its channel, before anything is asked there."""
        async with self._entering.setdefault(tag, asyncio.Lock()):
            if self._strict_ms:
                # Before the session is there: whoever knows it knows this too.
                await self._keep_strict(tag)
            me = await self._session.join(tag)
            heard_as, heard_on = self._channels.get(tag, ("", ""))
            if heard_as == me:
                return me
            channel = f"{tag}:l:to:{me}"
            try:
                await self._wire.inbox.subscribe(channel, self._heard)
            except StoreUnavailable:
                self._wire.inbox.unsubscribe(channel, self._heard)
                raise
            if heard_on:
                self._wire.inbox.unsubscribe(heard_on, self._heard)
            self._channels[tag] = (me, channel)
            return me

    def _session_is_over(self, tag: str, name: str) -> None:
        """The server knows it first: everybody is told now, not at the next renewal."""
        for member in self._session.memberships():
            if member.tag == tag and member.name == name:
                self._session.lost(member, "the server had ended it")

    def _heard(self, body: bytes) -> None:
        if self._hear is not None and (notice := read_notice(body)) is not None:
            self._hear(notice)
