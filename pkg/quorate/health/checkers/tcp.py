"""Does something listen there, and does it say what it should?"""

from __future__ import annotations

import asyncio

from quorate.core.errors import InvalidInput
from quorate.health.look import described, no_answer
from quorate.health.model import CheckResult, failed, passed

MAX_EXPECTED_BYTES = 4096


class TCPHealthChecker:
    """Connects to `host`:`port`; optionally sends bytes and expects the answer to begin
    with `expect`. All of it within `timeout_s`. Nothing is kept open.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        send: bytes = b"",
        expect: bytes = b"",
        timeout_s: float = 10.0,
    ) -> None:
        if not host or not isinstance(port, int) or not 0 < port < 65_536:
            raise InvalidInput(
                f"{host!r}, {port!r} cannot be connected to.",
                "A TCP check needs a host and a port from 1 to 65535.",
            )
        if len(expect) > MAX_EXPECTED_BYTES:
            raise InvalidInput(
                f"A TCP check cannot expect {len(expect)} bytes.",
                f"{MAX_EXPECTED_BYTES} are allowed.",
            )
        self._host = host
        self._port = port
        self._send = send
        self._expect = expect
        self._timeout_s = timeout_s

    async def check(self) -> CheckResult:
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                return await self._ask()
        except asyncio.IncompleteReadError:
            return failed("it hung up before it had answered")
        except OSError as error:
            if limit.expired():
                return failed(no_answer(self._timeout_s))
            return failed(described(error))

    async def _ask(self) -> CheckResult:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            if self._send:
                writer.write(self._send)
            if self._expect:
                answer = await reader.readexactly(len(self._expect))
                if answer != self._expect:
                    return failed("it answered something else than expected")
            return passed("it listens")
        finally:
            writer.transport.abort()
