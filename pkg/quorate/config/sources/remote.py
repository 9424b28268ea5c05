"""A configuration service over HTTP as a source: JSON, asked again and again.

Everything about it is bounded: the time, the size, the redirects (none). `ETag` spares
what has not changed. What comes is taken as it is: nothing in it is interpolated.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from urllib.parse import urlsplit

import aiohttp

from quorate.config.formats import MAX_BYTES, ConfigFormat, parse
from quorate.config.model import Layer, Loaded
from quorate.core.errors import InvalidUrl, StoreUnavailable
from quorate.core.secret import masked_url

TIMEOUT_S = 10.0
CHUNK_BYTES = 64 * 1024


class RemoteSource:
    """Polls `url` every `poll_s` seconds. `headers` may carry a token."""

    layer = Layer.REMOTE

    def __init__(
        self, url: str, poll_s: float, headers: dict[str, str] | None = None
    ) -> None:
        self._url = check_http_url(url)
        self._headers = headers or {}
        self._etag = ""
        self._last: Loaded | None = None
        self.name = masked_url(url)
        self.recheck_s = poll_s

    async def load(self) -> Loaded:
        """What the service answers now.

        Raises `StoreUnavailable` if it does not, `ConfigInvalid` for no configuration.
        """
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        headers = {"Accept": "application/json", **self._headers}
        if self._etag and self._last is not None:
            headers["If-None-Match"] = self._etag
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(
                    self._url, headers=headers, allow_redirects=False
                ) as response,
            ):
                return await self._loaded(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise StoreUnavailable(
                f"{self.name} did not answer.",
                str(error) or type(error).__name__,
                "It is asked again by itself.",
            ) from error

    async def watch(self, changed: Callable[[], None]) -> None:
        """It can only be asked: there is nothing to hear. Runs until cancelled."""
        await asyncio.Event().wait()

    async def _loaded(self, response: aiohttp.ClientResponse) -> Loaded:
        if response.status == 304 and self._last is not None:
            return self._last
        if response.status != 200:
            raise StoreUnavailable(
                f"{self.name} answered {response.status}.",
                "Redirects are not followed." if 300 <= response.status < 400 else "",
                "It is asked again by itself.",
            )
        data = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            data += chunk
            if len(data) > MAX_BYTES:
                break
        parsed = parse(bytes(data), ConfigFormat.JSON, self.name)
        self._last = Loaded(parsed.tree, hashlib.sha256(data).hexdigest())
        self._etag = response.headers.get("ETag", "")
        return self._last


def check_http_url(url: object) -> str:
    """The URL itself, if it can be asked. Raises `InvalidUrl`."""
    fix = "Write it as http://host:port/path or https://host/path."
    if not isinstance(url, str):
        raise InvalidUrl(f"A URL must be text, not {type(url).__name__}.", fix=fix)
    shown = masked_url(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidUrl(f"{shown} is not a valid URL.", str(error), fix) from error
    why = ""
    if parts.scheme not in ("http", "https"):
        why = "Only http and https can be asked."
    elif not parts.hostname or port == 0:
        why = "It names no host, or port 0."
    elif parts.username or parts.password:
        why, fix = "It holds a user or password.", "Pass credentials in a header."
    elif any(character.isspace() or ord(character) < 32 for character in url):
        why = "It has spaces or control characters in it."
    if why:
        raise InvalidUrl(f"{shown} cannot be a configuration source.", why, fix)
    return url
