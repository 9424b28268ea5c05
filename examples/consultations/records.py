"""The patient records: the dependency that the consultation service cannot do without.

A process of its own, so that it can be stopped and continued for real:

    python -m examples.consultations.records PORT_FILE
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web


async def health(_request: web.Request) -> web.Response:
    return web.json_response({"status": "healthy"})


async def record(request: web.Request) -> web.Response:
    """The history of one patient, always the same for the same id."""
    user_id = request.match_info["user_id"]
    digest = hashlib.sha256(user_id.encode()).digest()
    return web.json_response(
        {
            "user_id": user_id,
            "allergies": ["penicillin"] if digest[0] % 4 == 0 else [],
            "visits": digest[1] % 12,
            "blood_type": ("A", "B", "AB", "0")[digest[2] % 4],
        }
    )


async def serve(
    app: web.Application,
    port_file: Path,
    on_ready: Callable[[int], Awaitable[None]] | None = None,
) -> None:
    """Serve `app` on a free loopback port until SIGTERM. `on_ready` gets the port."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=2.0)
    await site.start()
    port = runner.addresses[0][1]
    fresh = port_file.with_suffix(f".{os.getpid()}")
    fresh.write_text(str(port))
    fresh.replace(port_file)
    if on_ready is not None:
        await on_ready(port)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await runner.cleanup()


def main() -> None:
    app = web.Application()
    app.router.add_get("/health", health)
    app.router.add_get("/records/{user_id}", record)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(app, Path(sys.argv[1])))


if __name__ == "__main__":
    main()
