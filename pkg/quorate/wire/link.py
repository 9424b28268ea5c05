"""One connection to a Redis server, spoken by hiredis' reader.

redis-py opens it (address, credentials, TLS); then its transport is handed to this
protocol, which costs a fraction of redis-py's own reading and writing a command.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    RedisError,
    ResponseError,
)
from redis.maint_notifications import MaintNotificationsConfig

from quorate.core.errors import StoreRefused, StoreUnavailable

from .address import Address

Reply: TypeAlias = Any
"""`None | int | bytes | list[Reply]`; an error reply is a `hiredis.ReplyError`."""

_NOTHING = object()
_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: closing discards what has not arrived and resets the connection."""


def pack(*words: str | bytes | int | float) -> bytes:
    """A command in RESP, as the server reads it."""
    packed: bytes = hiredis.pack_command(cast("tuple[str]", words))
    return packed


def _deaf(_: object) -> None:
    return None


class Link(asyncio.Protocol):
    """A taken-over connection: bytes out, replies in."""

    def __init__(
        self, hear: Callable[[Reply], None], lost: Callable[[Exception | None], None]
    ) -> None:
        self._hear = hear
        self._lost = lost
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        self._opener: AbstractConnection | None = None
        self.peer = ""
        """Host and port of the server that it leads to, or led to."""

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def take_over(self, opener: AbstractConnection) -> None:
        """Become the protocol of the connection that redis-py has opened.

        Raises `ConnectionResetError` if the server has hung up since: nobody would tell
        us any more.
        """
        writer = cast("asyncio.StreamWriter", opener._writer)
        reader = cast("asyncio.StreamReader", opener._reader)
        transport = cast("asyncio.Transport", writer.transport)
        if transport.is_closing() or reader.at_eof():
            raise ConnectionResetError("the server hung up right after the greeting")
        self._transport = transport
        self._opener = opener
        self.peer = f"{getattr(opener, 'host', '')}:{getattr(opener, 'port', '')}"
        transport.set_protocol(self)
        if not transport.is_reading():
            transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Send now. Without a connection this does nothing: `lost` was called."""
        if self._transport is not None:
            self._transport.write(data)

    def mute(self) -> None:
        """Hear nothing more from this connection, not even that it is lost."""
        self._hear = self._lost = _deaf

    def close(self) -> None:
        """Cut the connection; `lost` follows. Nothing waits for the other side."""
        if self._transport is not None:
            self._transport.abort()

    def disown(self) -> None:
        """Cut the connection for good, and hear nothing more from it.

        What was sent and has not arrived yet is thrown away, so that a command which
        its caller has given up does not take effect much later.
        """
        self.mute()
        if self._transport is None:
            return
        opened = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.close()

    def eof_received(self) -> None:
        """The server has hung up: cut at once, even if something is still unsent."""
        self.close()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _NOTHING:
                self._hear(reply)
        except hiredis.ProtocolError:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._opener is not None:
            self._opener._reader = self._opener._writer = None
            self._opener = None
        self._lost(exc)


class Dialer:
    """Opens links to a server, wherever it is at the time."""

    def __init__(
        self,
        address: Callable[[], Address],
        *,
        connect_timeout_s: float,
        resolve: Callable[[], Awaitable[object]] | None = None,
        masters_only: bool = False,
    ) -> None:
        """With `masters_only` it resolves before it dials and hangs up on a replica."""
        self._address = address
        self._resolve = resolve
        self._timeout_s = connect_timeout_s
        self._masters_only = masters_only

    @property
    def shown(self) -> str:
        return self._address().shown

    async def dial(self, link: Link) -> Link:
        """Connect and hand the connection to `link`.

        Raises `StoreUnavailable` when nobody answers in time, `StoreRefused` when the
        server does not let us in. A server of our own is started again if it is gone.
        """
        if self._masters_only and self._resolve is not None:
            await self._resolve()
            return await self._dial(link)
        try:
            return await self._dial(link)
        except (StoreUnavailable, StoreRefused) as error:
            # A stranger may listen where a server of our own was.
            ours = self._address().kind == "embedded"
            if self._resolve is None or not (
                ours or isinstance(error, StoreUnavailable)
            ):
                raise
        await self._resolve()
        return await self._dial(link)

    async def _dial(self, link: Link) -> Link:
        opener: AbstractConnection | None = None
        before = _cancellations()
        try:
            opener = self._opener()
            async with asyncio.timeout(self._timeout_s):
                await opener.connect()  # type: ignore[no-untyped-call]
                if _cancellations() > before:
                    # redis-py uses asyncio.wait_for, which before Python 3.12 may
                    # swallow the cancellation of who waits.
                    raise asyncio.CancelledError
                if self._masters_only:
                    await self._check_role(opener)
            link.take_over(opener)
        except BaseException as error:
            if opener is not None:
                await opener.disconnect(nowait=True)
            self._explain(error)
            raise
        return link

    async def _check_role(self, opener: AbstractConnection) -> None:
        """A former master may still be told of as one; only itself knows better."""
        await opener.send_command("ROLE")
        try:
            role, *_ = await opener.read_response()
        except ResponseError:  # This user may not ask; a write will show it.
            return
        if role != b"master":
            raise StoreUnavailable(
                f"{self.shown} is not the master now.",
                f"It calls itself a {role.decode(errors='replace')}.",
                "A switch to another master is under way; it usually passes.",
            )

    def _opener(self) -> AbstractConnection:
        pool: ConnectionPool = ConnectionPool.from_url(
            self._address().url,
            protocol=2,
            socket_timeout=self._timeout_s,
            socket_connect_timeout=self._timeout_s,
            client_name="quorate",
            retry=Retry(NoBackoff(), 0),
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        return cast(
            "AbstractConnection",
            pool.make_connection(),  # type: ignore[no-untyped-call]
        )

    def _explain(self, error: BaseException) -> None:
        """Raise what the failed connection means to a user, if it means anything."""
        if isinstance(error, (AuthenticationError, AuthorizationError)):
            raise StoreRefused(
                f"{self.shown} refused the connection.",
                _with_code(error),
                "Check user and password in the URL.",
            ) from error
        if isinstance(error, ResponseError):
            raise StoreRefused(
                f"{self.shown} refused the connection.",
                _with_code(error),
                "Check the database number in the URL, and what this user may do.",
            ) from error
        if isinstance(error, (RedisError, OSError)):
            raise StoreUnavailable(
                f"{self.shown} cannot be reached.",
                str(error) or type(error).__name__,
                "Is the server running, and is the address right?",
            ) from error


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def _with_code(error: RedisError) -> str:
    """The server's own words; redis-py has cut off the first one."""
    return f"{error.status_code} {error}" if error.status_code else str(error)
