"""Does a web service answer with the status that it should?

Redirects are answers, not ways to go on. The whole answer must arrive in time, but no
more of it is read than a health endpoint has to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import aiohttp
import yarl

from quorate.core.errors import InvalidInput, InvalidUrl
from quorate.core.secret import masked_url
from quorate.health.look import described, no_answer
from quorate.health.model import CheckResult, down, failed, passed, warned

MAX_BODY_BYTES = 65_536
TOO_MANY_REQUESTS = 429


class HTTPHealthChecker:
    """GETs `url`, all within `timeout_s`; one connection is kept open between looks.

    A status in `expected_status` is a success, 429 a warning (Consul's convention),
    anything else a failure. `identity` is a header and the value it must have: another
    value means that somebody else answers at this address, which is `down` at once.
    """

    def __init__(
        self,
        url: str,
        expected_status: int | Collection[int] = 200,
        *,
        identity: tuple[str, str] | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._url = _checked(url)
        self._expected = _statuses(expected_status)
        self._identity = identity
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def check(self) -> CheckResult:
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                return await self._ask()
        except aiohttp.ClientResponseError as error:
            return failed(f"{type(error).__name__}: the answer is not HTTP")
        except (OSError, aiohttp.ClientError, ValueError) as error:
            if limit.expired():
                return failed(no_answer(self._timeout_s))
            return failed(described(error))

    async def close(self) -> None:
        """Close the connection that is kept open."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self) -> CheckResult:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=1),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        async with self._session.get(self._url, allow_redirects=False) as response:
            await _read_some(response)
            return self._judge(response)

    def _judge(self, response: aiohttp.ClientResponse) -> CheckResult:
        status = response.status
        if self._identity is not None:
            header, expected = self._identity
            found = response.headers.get(header)
            if found != expected:
                return down(
                    f"somebody else answers: {header} is {found!r}, not {expected!r}",
                    status=str(status),
                )
        if status in self._expected:
            return passed(f"answered {status}", status=str(status))
        if status == TOO_MANY_REQUESTS:
            return warned(f"answered {status}: it is overloaded", status=str(status))
        wanted = " or ".join(map(str, sorted(self._expected)))
        return failed(f"answered {status} instead of {wanted}", status=str(status))


async def _read_some(response: aiohttp.ClientResponse) -> None:
    """Read the answer to its end, or hang up when there is too much of it."""
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MAX_BODY_BYTES:
            response.close()
            return


def _checked(url: str) -> yarl.URL:
    fix = "Write for instance http://localhost:8000/health."
    shown = masked_url(url) if isinstance(url, str) else repr(url)
    try:
        parsed = yarl.URL(url)
        if parsed.scheme in ("http", "https") and parsed.host and parsed.port:
            return parsed
    except (ValueError, TypeError) as error:
        raise InvalidUrl(f"{shown} is not a valid URL.", str(error), fix) from error
    raise InvalidUrl(
        f"{shown} cannot be checked by HTTP.", "It needs http:// and a host.", fix
    )


def _statuses(expected: int | Collection[int]) -> frozenset[int]:
    statuses = frozenset([expected] if isinstance(expected, int) else expected)
    if not statuses or not all(100 <= status < 600 for status in statuses):
        raise InvalidInput(
            f"expected_status={expected!r} is no status of HTTP.",
            fix="Give a number such as 200, or several.",
        )
    return statuses
