"""Sessions on Consul: who is alive, judged by an agent and by Consul's leader.

A session is a Consul session together with a check of the agent. The check turns
critical one ttl after the last renewal and ends the session within moments; should the
agent itself be lost, Consul's own clock ends it, by twice the ttl. Neither happens
before the ttl is over, which is what a holder relies on. `serfHealth` is not among the
session's checks on purpose: it ends sessions when an agent is out of sight for a few
seconds, while their holders still may trust them. What a session has locked is removed
with it, so nothing is left to clean up. Satisfies `lease.session.SessionStore`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence

from quorate.core.clock import Clock
from quorate.core.errors import StoreRefused, StoreUnavailable

from .consul_calls import ConsulCalls

SERVICE = "quorate-session"
NOTE = "renewed"
"""Never changes: a note that does is written to every server each time."""

CONSUL_TTL_S_MIN = 10
"""Consul takes no shorter ttl. The check, which has no such limit, is the quick one."""

FORGET_AFTER_S = 60
SEEN_WITHIN_S = 3.0
LOOK_AGAIN_S = 0.02
IDLE_S = 3600.0
WATCH_S = 20.0
AGAIN_S = 0.5
PACE_S = 0.1


class Roster:
    """Names of this process's sessions, and Consul's ids of them. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: dict[str, str] = {}
        self.entered: Callable[[], None] = lambda: None

    def id_of(self, name: str) -> str | None:
        """Consul's id of the session, if it was entered and not found to be over."""
        with self._lock:
            return self._ids.get(name)

    def enter(self, name: str, ident: str) -> None:
        with self._lock:
            self._ids[name] = ident
        self.entered()

    def leave(self, name: str) -> str | None:
        with self._lock:
            return self._ids.pop(name, None)

    def newest(self) -> tuple[str, str] | None:
        """The session entered last, with its id."""
        with self._lock:
            return next(reversed(self._ids.items()), None)


class ConsulSessions:
    """The sessions of one process with one agent, over one `ConsulCalls`."""

    def __init__(
        self, calls: ConsulCalls, roster: Roster, namespace: str, clock: Clock
    ) -> None:
        self._calls = calls
        self._roster = roster
        self._namespace = namespace
        self._clock = clock

    async def join(self, tag: str, session: str, ttl_ms: int) -> bool:
        """Register the check, let it pass, and create the session that hangs on it."""
        check = f"{session}:lease"
        await self._calls.put(
            "/v1/agent/service/register",
            {
                "ID": session,
                "Name": SERVICE,
                "Tags": [self._namespace],
                "Check": {
                    "CheckID": check,
                    "Name": "Session lease",
                    "TTL": f"{ttl_ms}ms",
                    "Status": "critical",
                    "DeregisterCriticalServiceAfter": f"{FORGET_AFTER_S}s",
                },
            },
        )
        await self._pass(session)
        ttl_s = max(CONSUL_TTL_S_MIN, math.ceil(ttl_ms / 1000))
        ident = await self._create(
            {
                "Name": session,
                "NodeChecks": [],
                "ServiceChecks": [{"ID": check}],
                "TTL": f"{ttl_s}s",
                "Behavior": "delete",
                "LockDelay": "1ms",
            }
        )
        self._roster.enter(session, ident)
        return True

    async def renew(
        self, tag: str, session: str, ttl_ms: int
    ) -> tuple[bool, float, float | None, int]:
        """(renewed, 0.0, None, 0): nobody has to clean up after others here."""
        ident = self._roster.id_of(session)
        alive = (
            ident is not None
            and await self._pass(session)
            and await self._calls.done(f"/v1/session/renew/{ident}")
        )
        if not alive:
            self._roster.leave(session)
        return alive, 0.0, None, 0

    async def end(self, tag: str, session: str) -> bool:
        """The session is over now, and what it locked is free."""
        ident = self._roster.leave(session)
        if ident is not None:
            await self._calls.put(f"/v1/session/destroy/{ident}")
        await self._calls.put(f"/v1/agent/service/deregister/{session}")
        return ident is not None

    async def dead(self, tag: str) -> list[str]:
        """None: Consul removes a dead session's claims by itself."""
        return []

    async def bury(self, tag: str, session: str, indexes: Sequence[str]) -> bool:
        """Nothing is left of it."""
        return True

    async def close(self) -> None:
        await self._calls.close()

    async def _pass(self, session: str) -> bool:
        """Renew the check. False if the agent does not know it (any more)."""
        path = f"/v1/agent/check/pass/{session}:lease"
        try:
            return await self._calls.done(path, note=NOTE)
        except StoreRefused as error:
            if error.code == "500":
                return False
            raise

    async def _create(self, terms: dict[str, object]) -> str:
        """The new session's id, once the servers have heard that its check passes."""
        give_up_at = self._clock.monotonic() + SEEN_WITHIN_S
        refusal: StoreRefused | None = None
        while self._clock.monotonic() < give_up_at:
            try:
                said = await self._calls.put("/v1/session/create", terms)
                return str(said["ID"])
            except StoreRefused as error:
                if error.code != "500":
                    raise
                refusal = error
            await self._clock.sleep(LOOK_AGAIN_S)
        raise StoreUnavailable(
            "The session could not be entered.",
            f"Consul's servers have not heard of its check in {SEEN_WITHIN_S:g} s.",
            "Is the agent connected to its servers?",
        ) from refusal


class SessionWatch:
    """A role: hears at once when Consul has ended a session of this process."""

    name = "session watch"

    def __init__(
        self,
        calls: ConsulCalls,
        roster: Roster,
        gone: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._calls = calls
        self._roster = roster
        self._gone = gone
        self._clock = clock
        self._watched = ""
        self._index = 0

    async def tick(self) -> float:
        newest = self._roster.newest()
        if newest is None:
            return IDLE_S
        name, ident = newest
        if ident != self._watched:
            self._watched, self._index = ident, 0
        began, path = self._clock.monotonic(), f"/v1/session/info/{ident}"
        try:
            self._index, found = await self._calls.look(path, self._index, WATCH_S)
        except StoreUnavailable:
            return AGAIN_S
        if not found and self._roster.id_of(name) == ident:
            self._roster.leave(name)
            self._gone(name)
        # What answers at once although nothing has changed is not asked in a circle.
        return max(0.0, began + PACE_S - self._clock.monotonic())
