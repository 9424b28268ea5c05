"""Locks on Consul: one transaction takes, one gives back, and the next sees it.

A claim is a key of its own, locked by the process's session: Consul removes it with the
session. Taking reads the line in the same transaction, so a free lock costs one call.
Who stands in line watches the one claim before its own and nobody else's, and looks at
the line again when that has changed. Satisfies `locks.store.LockStore`.

Otherwise than on Redis: readers and writers have their turns strictly in the order of
arrival, without priorities; each reader has a token of its own; tokens are places in
Consul's log, so they grow as long as Consul keeps its data, and are no µs of a clock;
`timeout_s` is kept by the holder's own process, as Consul ends a claim only with its
session; a hold that an operator removes is noticed when it is given back. See
docs/locks-on-consul.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from quorate.core.errors import (
    LockNotGranted,
    MissingCapability,
    OutcomeUnknown,
    SessionLostError,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from quorate.lease.session import Session
from quorate.wire.consul import ConsulWire
from quorate.wire.consul_calls import Entry, Op, Refused

from .answers import (
    Answer,
    Ask,
    Busy,
    Granted,
    Queued,
    Sighting,
    Was,
)
from .consul_line import (
    LEFT,
    READS,
    WRITES,
    Line,
    Place,
    all_locks,
    explanation_of,
    folder_of,
    key_of,
    read_line,
    record_of,
    survey_of,
)
from .consul_watch import HardEnds, LineWatch
from .model import Explanation, LockLine
from .store import Hear

TRIES = 3
ECHO_S = 120.0
"""So long a late copy of an ask is kept out; the end of the session does it too."""

CLEARED_AT_ONCE = 20


class ConsulLocks:
    """The locks of one namespace on one Consul, over the process's wire."""

    def __init__(self, wire: ConsulWire, session: Session) -> None:
        self._wire = wire
        self._session = session
        self._clock = session.clock
        self._ends = HardEnds(wire, self.leave)
        self._watch = LineWatch(wire, session, self._ends.granted)
        self._left: deque[tuple[float, str]] = deque()

    def listen(self, hear: Hear) -> Callable[[], None]:
        """Tell `hear` of grants and of claims to ask for again. Returns its undoing."""

        undo = self._watch.listen(hear)
        unhook = self._session.on_lost(lambda _tag, _name: self._ends.forget_all())

        def leave() -> None:
            unhook()
            undo()
            self._ends.forget_all()

        return leave

    async def acquire(self, ask: Ask) -> Answer:
        """Take the lock or stand in line: one call, inside the session."""
        if ask.ahead_s:
            raise MissingCapability(
                f"{ask.name!r} cannot be taken with a priority.",
                "On Consul everybody is served in the order of arrival.",
                "Leave priority= out, or keep the locks on Redis.",
            )
        if ask.confirm is not None:
            raise MissingCapability(
                f"{ask.name!r} cannot be confirmed by replicas.",
                "On Consul a majority of its servers has every grant already.",
                "Leave replicas= out.",
            )
        for _ in range(TRIES):
            me = await self._session.join(self._wire.root)
            if ask.under and ask.under != me:
                raise SessionLostError(f"The session {ask.under} is over.")
            asked_at = self._clock.monotonic()
            ident = self._wire.roster.id_of(me)
            line, echo = await self._stand(ask, me, ident)
            if line is None:
                self._session_is_over(me)
                continue
            mine = line.find(ask.id)
            if mine is not None and mine.held_by == ident:
                return await self._answer(ask, line, mine, (asked_at, me, echo))
            if mine is not None:
                # Made under a session of ours that is lost, but not yet to Consul.
                await self.leave(ask.name, ask.id, echo=False)
            if ask.id in line.left:
                raise LockNotGranted(f"The wish for {ask.name!r} was given up.")
        raise OutcomeUnknown(
            f"{ask.name!r} cannot be taken: the claim ends as soon as it is made.",
            "Consul has ended it several times in a row.",
            "Does somebody remove the keys of locks, or does the agent's check fail?",
        )

    async def leave(self, name: str, ident: str, *, echo: bool) -> Was:
        """End a claim: one call. To remove it is to grant to whoever is next."""
        self._watch.forget(ident)
        is_held = self._ends.forget(ident)
        folder = folder_of(self._wire.root, name)
        key = key_of(folder, ident)
        sure = is_held and not echo
        ops = [Op("get", key) if sure else Op("get-tree", folder), Op("delete", key)]
        under = await self._own_session() if echo else None
        if under is not None:
            ops.append(Op("lock", key, b"{}", LEFT, under))
        cleared = self._to_be_cleared()
        ops += [Op("delete", old) for old in cleared]
        done = await self._wire.calls.txn(ops)
        if isinstance(done, Refused):
            if sure:
                return "unknown"
            # The session has ended: no late copy of the ask can claim anything now.
            return await self.leave(name, ident, echo=False)
        for _ in cleared:
            self._left.popleft()
        if under is not None:
            self._left.append((self._clock.monotonic() + ECHO_S, key))
        return "held" if sure else _what_it_was(read_line(folder, done), ident)

    async def clean(self, tag: str, session: str) -> None:
        """Nothing to do: Consul has removed the claims with their session."""

    async def explain(self, name: str) -> Explanation:
        """One call."""
        folder = folder_of(self._wire.root, name)
        entries = await self._wire.calls.folder(folder)
        return explanation_of(name, read_line(folder, entries), self._clock.now())

    async def survey(self, most: int) -> list[LockLine]:
        """One call; it reads every claim of the namespace."""
        entries = await self._wire.calls.folder(all_locks(self._wire.root))
        return survey_of(self._wire.root, entries[:most])

    async def _stand(
        self, ask: Ask, me: str, ident: str | None
    ) -> tuple[Line | None, bool]:
        """The line with the claim in it, and whether a second copy may still arrive.

        None when Consul says that the session is over.
        """
        if ident is None:
            return None, False
        folder = folder_of(self._wire.root, ask.name)
        if ask.under:
            line = read_line(folder, await self._wire.calls.folder(folder))
            if line.find(ask.id) is not None:
                return line, False
        key = key_of(folder, ask.id)
        record = record_of(ask, me, self._clock.now())
        ops = (
            # Asked twice, it is granted once; and where it was given up, not at all.
            Op("check-not-exists", key),
            Op("lock", key, record, READS if ask.shared else WRITES, ident),
            Op("get-tree", folder),
        )
        done, echo = await self._send(ask, me, ops)
        if not isinstance(done, Refused):
            return read_line(folder, done), echo
        if done.at == 1 and "nvalid session" in done.why:
            return None, echo
        if done.at != 0:
            raise StoreRefused(f"{ask.name!r} cannot be taken.", f"409 {done.why}")
        return read_line(folder, await self._wire.calls.folder(folder)), echo

    async def _send(
        self, ask: Ask, me: str, ops: tuple[Op, ...]
    ) -> tuple[list[Entry] | Refused, bool]:
        """The outcome, and whether a second copy of the ask may still arrive."""
        try:
            return await self._wire.calls.txn(ops), False
        except OutcomeUnknown:
            if not self._session.is_alive(self._wire.root, me):
                raise
        try:
            return await self._wire.calls.txn(ops), True
        except StoreUnavailable as error:
            raise OutcomeUnknown(
                f"Nobody knows whether {ask.name!r} was taken.", error.why
            ) from error

    async def _answer(
        self, ask: Ask, line: Line, mine: Place, how: tuple[float, str, bool]
    ) -> Answer:
        asked_at, me, echo = how
        before = line.before(mine)
        if before is None:
            self._watch.forget(ask.id)
            self._ends.granted(ask)
            where = (self._wire.root, me)
            return Granted(mine.token, mine.last_token, *where, asked_at, echo)
        holder = line.holders()[0].as_holder(ask.name, self._clock.now())
        if not ask.wait:
            await self._step_back(ask)
            return Busy(holder)
        self._watch.follow(ask, me, before)
        return Queued(
            tag=self._wire.root,
            session=me,
            sighting=Sighting(asked_at, asked_at),
            look_in_s=None,
            holder=holder,
            echo=echo,
        )

    async def _step_back(self, ask: Ask) -> None:
        """Out of the line again: who only tries does not stand in it."""
        try:
            await self.leave(ask.name, ask.id, echo=False)
        except StoreError as error:
            raise OutcomeUnknown(
                f"{ask.name!r} was taken by somebody else, and the place in line "
                "could not be given up.",
                error.why,
            ) from error

    async def _own_session(self) -> str | None:
        """Consul's id of this process's session; None once the process has closed."""
        try:
            return self._wire.roster.id_of(await self._session.join(self._wire.root))
        except SessionLostError:
            return None

    def _to_be_cleared(self) -> list[str]:
        """Keys that have kept out late copies for long enough."""
        now = self._clock.monotonic()
        due = [key for until, key in self._left if until <= now]
        return due[:CLEARED_AT_ONCE]

    def _session_is_over(self, name: str) -> None:
        """Consul says it first: everybody is told now, not at the next renewal."""
        for member in self._session.memberships():
            if member.name == name:
                self._session.lost(member, "the server had ended it")


def _what_it_was(line: Line, ident: str) -> Was:
    mine = line.find(ident)
    if mine is None:
        return "unknown"
    return "held" if line.before(mine) is None else "waiting"
