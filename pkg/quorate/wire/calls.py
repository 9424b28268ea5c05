"""Many callers, one connection, one write a tick.

All commands that tasks issue in one turn of the event loop leave in a single write, and
replies find their callers by order (hiredis reads). A cancelled caller leaves its place
in the line; a reply that is late ends the connection, because nothing behind it can be
trusted. Nothing that blocks, subscribes or waits for replicas is ever sent here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TypeVar

import hiredis

from quorate.core.errors import (
    OutcomeUnknown,
    QuorateError,
    StoreRefused,
    StoreUnavailable,
)
from quorate.core.lifecycle import Tasks

from .link import Dialer, Link, Reply, pack
from .orders import CallStats, Order, heeded
from .refusals import Demoted, broken, refused, too_many, unanswered, undialled
from .scripts import Dialect, Script

MOST_PENDING = 65_536
STOOD_STILL_S = 0.1
PARDON_S = 1.0
"""A loop that wakes up so late has not been able to read: replies get a little more."""

C = TypeVar("C", bound="Calls")


class Calls:
    """Scripts and commands over one connection, opened when first needed.

    A reply is waited for at most `timeout_s`, a connection as long as the dialer says.
    A call ends with its reply, with `StoreUnavailable` (the server has not done it),
    with `OutcomeUnknown` (sent, no reply; may have happened), or with `StoreRefused`
    (the server's own error). A lost call of an idempotent script is sent once more by
    itself, and then has as long again; so is any call that a former master refuses;
    without `resends` neither is. Belongs to the event loop in which it is first used.
    """

    def __init__(
        self,
        dialer: Dialer,
        *,
        timeout_s: float = 5.0,
        dialect: Dialect = "whole",
        resends: bool = True,
    ) -> None:
        self._dialer = dialer
        self._timeout_s = timeout_s
        self._dialect: Dialect = dialect
        self._resends = resends
        self._tasks = Tasks()
        self._link: Link | None = None
        self._dialling: asyncio.Future[None] | None = None
        self._dial_task: asyncio.Task[None] | None = None
        self._pending: deque[tuple[asyncio.Future[Reply], float]] = deque()
        self._outbox: list[bytes] = []
        self._due = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._pardoned: asyncio.Future[Reply] | None = None
        self._closed = False
        self._requests = self._writes = self._connections = 0

    def stats(self) -> CallStats:
        pending = len(self._pending)
        return CallStats(self._requests, self._writes, self._connections, pending)

    @property
    def is_connected(self) -> bool:
        return self._link is not None and self._link.is_open

    @property
    def waits_s(self) -> float:
        """So long the first in the line has waited for its reply."""
        if not self._pending:
            return 0.0
        asked_at = self._pending[0][1] - self._timeout_s
        return asyncio.get_running_loop().time() - asked_at

    async def call(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[str | bytes | int],
        *,
        asking: bool = False,
    ) -> Reply:
        """Run `script`; a script that the server has forgotten is sent whole.

        `asking` is for a Cluster's node that does not own the slot yet.
        """
        sha, text = script.spoken(self._dialect)
        packed = pack("EVALSHA", sha, len(keys), *keys, *args)
        failed = None
        if self._link is not None and self._link.is_open and not asking:
            try:  # The usual case, and all of what an order is for comes after it.
                return await self._put(packed, script.name)
            except QuorateError as error:
                failed = error
        order = Order(script.name, script.idempotent, asking)
        try:
            return await self._ask(packed, order, failed)
        except StoreRefused as error:
            if error.code != "NOSCRIPT":
                raise
        return await self._ask(pack("EVAL", text, len(keys), *keys, *args), order)

    async def command(
        self, *words: str | bytes | int | float, asking: bool = False
    ) -> Reply:
        """Send one plain command and return its reply."""
        return await self._ask(pack(*words), Order(str(words[0]), asking=asking))

    def beside(self, kind: type[C]) -> C:
        """A further connection to the same place, not opened yet."""
        return kind(self._dialer, timeout_s=self._timeout_s, dialect=self._dialect)

    def leave(self, why: str, unless: str = "") -> None:
        """Have done with the connection now; the next call opens another.

        Callers still waiting get `OutcomeUnknown`. One to the server `unless` is kept,
        and so is one that is being opened.
        """
        if self._dial_task is not None and not unless:
            self._dial_task.cancel(why)
        if self._link is not None and self._link.peer != unless:
            self._link.disown()
            self._part(why)

    async def close(self) -> None:
        """Cut the connection; callers still waiting get `OutcomeUnknown`."""
        self._closed = True
        await self._tasks.close()
        self._part("the connection was closed")

    async def _ask(
        self, packed: bytes, order: Order, failed: QuorateError | None = None
    ) -> Reply:
        """Send it, and once more if it should be; `failed`: how it has gone so far."""
        if failed is None and not self.is_connected:
            await self._connect()
        try:
            if failed is not None:
                raise failed
            return await self._send(packed, order)
        except Demoted:
            if not self._resends:
                raise
            lost = None
        except OutcomeUnknown as error:
            if not order.again or not self._resends or self._closed:
                raise
            lost = error
        try:
            await self._connect()
            return await self._send(packed, order)
        except StoreUnavailable as error:
            if lost is None:
                raise
            raise lost from error

    def _send(self, packed: bytes, order: Order) -> asyncio.Future[Reply]:
        """Put the command into the next write. ASKING stands right before its own."""
        if order.asking:
            self._put(pack("ASKING"), "ASKING").add_done_callback(heeded)
        return self._put(packed, order.name)

    def _put(
        self, packed: bytes, name: str, more_s: float = 0.0
    ) -> asyncio.Future[Reply]:
        """Put a command into the next write; its reply may take `more_s` longer."""
        if len(self._pending) >= MOST_PENDING:
            raise too_many(name, self._dialer.shown, MOST_PENDING)
        if self._link is None:
            raise broken(name, self._dialer.shown)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        if not self._outbox:
            loop.call_soon(self._flush)
            self._due = loop.time() + self._timeout_s
        self._pending.append((future, self._due + more_s))
        self._outbox.append(packed)
        if self._watch is None:
            self._watch = loop.call_later(self._timeout_s, self._look)
        return future

    def _flush(self) -> None:
        packed, self._outbox = self._outbox, []
        if self._link is None or not packed:
            return
        self._requests += len(packed)
        self._writes += 1
        self._link.write(packed[0] if len(packed) == 1 else b"".join(packed))

    async def _connect(self) -> None:
        """Wait for a connection; whoever comes first has it dialled for all."""
        if self._closed:
            raise StoreUnavailable(f"The connection to {self._dialer.shown} is closed.")
        if self.is_connected:
            return
        if self._dialling is None:
            self._part("the connection broke")
            self._dialling = asyncio.get_running_loop().create_future()
            self._dial_task = self._tasks.spawn(self._dial(self._dialling), "dial")
        await asyncio.shield(self._dialling)

    async def _dial(self, done: asyncio.Future[None]) -> None:
        """Open a connection. A caller that is cancelled meanwhile does not stop it."""
        link = Link(self._hear, lambda error: self._lost(link, error))
        failure: QuorateError = undialled(self._dialer.shown)
        try:
            await self._dialer.dial(link)
        except QuorateError as error:
            failure = error
        except Exception as error:
            failure = undialled(self._dialer.shown, error)
        else:
            self._link = link
            self._connections += 1
            done.set_result(None)
        finally:
            self._dialling = self._dial_task = None
            if not done.done():
                done.set_exception(failure)
                done.exception()

    def _hear(self, reply: Reply) -> None:
        if not self._pending:
            self._part("it said something that nobody had asked for")
            return
        future, _ = self._pending.popleft()
        if future.done():
            return
        if isinstance(reply, hiredis.ReplyError):
            refusal = refused(self._dialer.shown, str(reply))
            if isinstance(refusal, Demoted) and self._link is not None:
                # Soon, not now: what else has come with this answer is heard first.
                loop = asyncio.get_running_loop()
                loop.call_soon(self._quit, self._link, "it is a replica now")
            future.set_exception(refusal)
        else:
            future.set_result(reply)

    def _lost(self, link: Link, error: Exception | None) -> None:
        self._quit(link, str(error) if error else "the server hung up")

    def _quit(self, link: Link, why: str) -> None:
        if link is self._link:
            self._part(why)

    def _part(self, why: str) -> None:
        """Have done with the connection; nobody waits for it any longer.

        Replies are matched by order alone, so a new connection must begin with nobody
        in the line.
        """
        link, self._link = self._link, None
        if link is not None:
            link.mute()
            link.close()
        unsent, self._outbox = len(self._outbox), []
        pending, self._pending = self._pending, deque()
        self._pardoned = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        sent = len(pending) - unsent
        for index, (future, _) in enumerate(pending):
            if future.done():
                continue
            shown = self._dialer.shown
            future.set_exception(unanswered(shown, why, was_sent=index < sent))

    def _look(self) -> None:
        """A reply is due; if it is late, the connection is not worth keeping."""
        watch, self._watch = self._watch, None
        if not self._pending or watch is None:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        head, due = self._pending[0]
        if now < due:
            self._watch = loop.call_at(due, self._look)
        elif now - watch.when() > STOOD_STILL_S and head is not self._pardoned:
            self._pardoned = head
            self._watch = loop.call_later(min(PARDON_S, self._timeout_s), self._look)
        else:
            if self._link is not None:
                self._link.disown()
            self._part(f"nothing came within {self._timeout_s:g} s")
