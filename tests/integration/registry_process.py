"""An instance as a process of its own, for stories in which processes die.

It answers each line with its id, announces itself, and tells each event as a line of
JSON. SIGTERM: it leaves, serves on for `grace_s`, and ends.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

from quorate.backend import Backend
from quorate.core.events import Event
from quorate.lease.lease import LeaseTerms
from quorate.registry.manager import ServiceRegistry
from quorate.registry.model import ServiceInfo


def tell(event: Event) -> None:
    sys.stdout.write(json.dumps({"event": event.name, **event.facts()}) + "\n")
    sys.stdout.flush()


async def main(order: dict[str, object]) -> None:
    leaving = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leaving.set)
    ident = str(order["id"])

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while await reader.readline():
            writer.write(ident.encode() + b"\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    terms = LeaseTerms(**order["terms"])  # type: ignore[arg-type]
    backend = Backend(
        str(order["url"]), namespace=str(order["namespace"]), terms=terms, emit=tell
    )
    async with backend:
        registry = ServiceRegistry(backend)
        await registry.start()
        await registry.register(
            ServiceInfo(
                id=ident, name=str(order["service"]), endpoint=f"127.0.0.1:{port}"
            )
        )
        await leaving.wait()
        await registry.deregister(ident)
        await asyncio.sleep(float(order["grace_s"]))  # type: ignore[arg-type]
        server.close()
        await registry.stop()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
