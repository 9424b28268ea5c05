"""Does a PostgreSQL database answer a query?

psycopg answers a cancellation by asking the server to stop, which may take seconds at a
server that is away. A look must end in time, so the query runs in a task of its own,
which is left behind at the deadline and then stopped for good.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from quorate.core.errors import InvalidUrl, MissingCapability
from quorate.core.lifecycle import Tasks
from quorate.core.secret import masked_url
from quorate.health.look import described, no_answer
from quorate.health.model import CheckResult, failed, passed

if TYPE_CHECKING:
    import psycopg

SCHEMES = ("postgresql", "postgres")
STOP_WITHIN_S = 0.02
STOPS = 3


class DatabaseHealthChecker:
    """Runs `SELECT 1` at `url` (postgresql://…), all within `timeout_s`.

    The connection is kept between looks. Raises `InvalidUrl` for an address that is not
    a database's, and `MissingCapability` for MongoDB and where psycopg is missing.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        _check_url(url)
        try:
            self._psycopg = importlib.import_module("psycopg")
        except ImportError as error:
            raise MissingCapability(
                "PostgreSQL cannot be checked.",
                "The package psycopg is not installed.",
                "Install it: pip install 'quorate[postgres]'.",
            ) from error
        self._url = url
        self._timeout_s = timeout_s
        self._tasks = Tasks()
        self._connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None

    async def check(self) -> CheckResult:
        look = self._tasks.spawn(self._ask(), "database look")
        try:
            await asyncio.wait([look], timeout=self._timeout_s)
            if look.done():
                return look.result()
            return failed(no_answer(self._timeout_s))
        finally:
            if not look.done():
                await self._abandon(look)

    async def close(self) -> None:
        """Drop the connection that is kept open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.pgconn.finish()

    async def _ask(self) -> CheckResult:
        try:
            if self._connection is None:
                self._connection = await self._psycopg.AsyncConnection.connect(
                    self._url, autocommit=True
                )
            cursor = await self._connection.execute("SELECT 1")
            row = await cursor.fetchone()
        except (OSError, self._psycopg.Error) as error:
            await self.close()
            return failed(described(error))
        if row != (1,):
            return failed("it answered something else than 1")
        return passed("answered")

    async def _abandon(self, look: asyncio.Task[CheckResult]) -> None:
        """Stop a look: a second cancellation ends psycopg's own wait for the server."""
        for _ in range(STOPS):
            look.cancel()
            await asyncio.wait([look], timeout=STOP_WITHIN_S)
            if look.done():
                break
        await self.close()


def _check_url(url: object) -> None:
    fix = "Write it as postgresql://user:password@host[:port]/database."
    if not isinstance(url, str):
        raise InvalidUrl(f"{url!r} is not a URL.", fix=fix)
    scheme = url.partition("://")[0].partition("+")[0]
    if scheme == "mongodb":
        raise MissingCapability(
            "MongoDB cannot be checked yet.",
            "Only PostgreSQL has a checker in this version.",
            "Register a custom checker that pings it with your own client.",
        )
    try:
        host = urlsplit(url).hostname
    except ValueError as error:
        raise InvalidUrl(
            f"{masked_url(url)} is not a valid URL.", str(error), fix
        ) from error
    if scheme not in SCHEMES or not host:
        raise InvalidUrl(f"{masked_url(url)} is not the URL of a database.", "", fix)
