"""py-consul with a deadline on every request, and with our errors.

Its asyncio client waits up to five minutes, gives up blocking queries before Consul
does, repeats a write by itself after a broken connection, and lets the environment
replace the token. Here one HTTP layer beneath all of its calls puts that right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import aiohttp
import consul.aio
import consul.base
from yarl import URL

from quorate.core.errors import (
    OutcomeUnknown,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)

from .consul_calls import RIGHTS
from .consul_place import ConsulPlace

ANSWER_BYTES_MAX = 32 * 1024 * 1024
_PIECE = 64 * 1024
_TOLD = 200
"""So many characters of an answer are quoted in an error."""

NOT_DONE = (
    "No cluster leader", "No known Consul servers", "No path to datacenter",
    "rate limit", "Too many",
)  # fmt: skip
"""What Consul says when it has not even tried."""

REFUSED = (
    "associated TTL", "Unknown check", "Missing check", "in critical state",
    "nvalid session", "ermission denied", "ACL not found",
)  # fmt: skip
"""What Consul says, with a 500 too, when it has decided against it."""

Answer = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Seconds for a request and for its connection, and how many may be open."""

    timeout_s: float
    connect_timeout_s: float
    connections: int


class _Http(consul.aio.HTTPClient):  # type: ignore[misc]
    """The layer beneath py-consul's calls."""

    def __init__(self, place: ConsulPlace, limits: HttpLimits) -> None:
        host = f"[{place.host}]" if ":" in place.host else place.host
        consul.base.HTTPClient.__init__(self, host, place.port, "http", verify=False)
        self._limits = limits
        self._shown = f"Consul at {host}:{place.port}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limits.connections),
            timeout=aiohttp.ClientTimeout(total=None, connect=limits.connect_timeout_s),
            # Plain text: what is read is then never more than what was sent.
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
        )
        # A write whose connection breaks may have been done: only who sent it knows
        # whether it may be sent again.
        self._session._retry_connection = False

    async def _request(
        self,
        callback: Answer,
        method: str,
        uri: str,
        headers: dict[str, str] | None,
        data: str | bytes | None = None,
        connections_timeout: float | None = None,
        raw: bool = False,  # noqa: FBT001 - py-consul's own signature
    ) -> Any:
        """Send and read within the deadline. `callback` hears 2xx, 404 and 409."""
        within_s = connections_timeout or self._limits.timeout_s
        try:
            async with (
                asyncio.timeout(within_s),
                self._session.request(
                    method,
                    URL(uri, encoded=True),
                    headers=headers,
                    data=data,
                    allow_redirects=False,
                ) as response,
            ):
                body = await self._read(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise StoreUnavailable(
                f"{self._shown} cannot be reached.", _said(error)
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            why = _said(error) or f"It did not answer in {within_s:g} s."
            raise self._unanswered(method, why) from error
        self._check(method, response.status, body)
        answer = body if raw else body.decode(errors="replace")
        try:
            return callback(
                consul.base.Response(response.status, response.headers, answer)
            )
        except consul.ConsulException as error:
            self._unreadable(error)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        pieces: list[bytes] = []
        size = 0
        async for piece in response.content.iter_chunked(_PIECE):
            size += len(piece)
            if size > ANSWER_BYTES_MAX:
                raise StoreRefused(
                    f"{self._shown} answers with too much.",
                    f"413 More than {ANSWER_BYTES_MAX} bytes.",
                )
            pieces.append(piece)
        return b"".join(pieces)

    def _check(self, method: str, status: int, body: bytes) -> None:
        """Raise what a status means, unless the answer is worth reading."""
        if 200 <= status < 300 or status in (404, 409):
            return
        said = body[:_TOLD].decode(errors="replace").strip()
        why = f"{status} {said}"
        if status == 429 or any(word in said for word in NOT_DONE):
            raise StoreUnavailable(f"{self._shown} cannot do it now.", why)
        if status >= 500 and not any(word in said for word in REFUSED):
            raise self._unanswered(method, why)
        fix = RIGHTS if status in (401, 403) else ""
        raise StoreRefused(f"{self._shown} refused a request.", why, fix)

    def _unanswered(self, method: str, why: str) -> StoreError:
        """It was sent. What was only to be read can be read again."""
        if method == "GET":
            return StoreUnavailable(f"{self._shown} did not answer.", why)
        return OutcomeUnknown(
            f"{self._shown} was asked and did not answer.",
            f"{why} It may have happened.",
        )

    def _unreadable(self, error: Exception) -> NoReturn:
        raise StoreRefused(
            f"{self._shown} answers what is not Consul's.", f"200 {_said(error)}"
        ) from error

    async def close(self) -> None:
        await self._session.close()


class ConsulClient(consul.aio.Consul):  # type: ignore[misc]
    """py-consul's asyncio client over that layer. Open it in the loop that uses it."""

    def __init__(self, place: ConsulPlace, limits: HttpLimits) -> None:
        self._place = place
        self._limits = limits
        super().__init__(host=place.host, port=place.port, scheme="http", verify=False)
        self.token = place.token.reveal() or None

    def http_connect(self, *_: object, **__: object) -> _Http:
        return _Http(self._place, self._limits)

    async def close(self) -> None:
        await self.http.close()


def _said(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}"[:_TOLD] if text else ""
