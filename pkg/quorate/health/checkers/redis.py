"""Does a Redis server answer, and is it in the role that it should be in?

The connection is kept between looks, so that a look measures the server and not the
handshake; after a failure the next look begins with a new one. The deadline is ours:
redis-py's own would let a cancellation get lost (asyncio.wait_for before Python 3.12).
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from quorate.core.errors import InvalidInput, InvalidUrl
from quorate.core.secret import masked_url
from quorate.health.look import described, no_answer
from quorate.health.model import CheckResult, failed, passed

ROLES = ("master", "slave")


class RedisHealthChecker:
    """PINGs the server at `url`, all within `timeout_s`.

    With `expect_role` ("master" or "slave") it must also be in that role. A server that
    is still loading its data answers with an error, which is a failure.
    """

    def __init__(
        self, url: str, *, expect_role: str | None = None, timeout_s: float = 10.0
    ) -> None:
        if expect_role is not None and expect_role not in ROLES:
            raise InvalidInput(
                f"{expect_role!r} is not a role of Redis.",
                fix=f"Use {' or '.join(map(repr, ROLES))}.",
            )
        try:
            self._settings: dict[str, Any] = dict(parse_url(url))
        except (ValueError, TypeError, AttributeError) as error:
            shown = masked_url(url) if isinstance(url, str) else repr(url)
            raise InvalidUrl(
                f"{shown} is not the URL of a Redis server.",
                str(error),
                "Write it as redis://[user:password@]host[:port][/database].",
            ) from error
        self._kind: type[Connection] = self._settings.pop(
            "connection_class", Connection
        )
        self._expect_role = expect_role
        self._timeout_s = timeout_s
        self._connection: Connection | None = None

    async def check(self) -> CheckResult:
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                result = await self._ask()
        except (OSError, RedisError, ValueError, EOFError) as error:
            await self.close()
            if limit.expired():
                return failed(no_answer(self._timeout_s))
            return failed(described(error))
        except asyncio.CancelledError:
            await self.close()
            raise
        return result

    async def close(self) -> None:
        """Drop the connection that is kept open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def _ask(self) -> CheckResult:
        if self._connection is None:
            self._connection = self._kind(
                **self._settings,
                socket_timeout=None,
                socket_connect_timeout=None,
                retry=Retry(NoBackoff(), 0),
            )
            await self._connection.connect()  # type: ignore[no-untyped-call]
        await self._command("PING")
        if self._expect_role is None:
            return passed("answered")
        answer = await self._command("ROLE")
        role = answer[0] if isinstance(answer, list) and answer else answer
        found = role.decode() if isinstance(role, bytes) else str(role)
        if found != self._expect_role:
            return failed(f"its role is {found}, not {self._expect_role}", role=found)
        return passed(f"answered as {found}", role=found)

    async def _command(self, name: str) -> object:
        connection = self._connection
        if connection is None:
            raise ConnectionError("closed meanwhile")
        await connection.send_command(name)
        return await connection.read_response()
