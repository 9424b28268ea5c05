"""A process that lives in a tag, for stories in which processes die.

It opens a backend, enters the tag, and tells every event as a line of JSON with the
moment on the machine's own clock. Told "stall 3" it blocks its event loop for three
seconds; "name" and "join" make it tell its name; at the end of input it ends kindly.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from quorate.backend import Backend
from quorate.core.clock import SystemClock
from quorate.core.errors import QuorateError
from quorate.core.events import Event
from quorate.lease.lease import LeaseTerms

clock = SystemClock()


def tell(what: str, **facts: object) -> None:
    line = {"event": what, "at": clock.monotonic(), **facts}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def tell_event(event: Event) -> None:
    tell(event.name, **event.facts())


async def obey(backend: Backend, tag: str, word: str, rest: str) -> None:
    match word:
        case "stall":
            tell("stalling")
            time.sleep(float(rest))  # noqa: ASYNC251 - the loop is to stand still
            tell("awake", name=backend.session.name_in(tag))
        case "name":
            tell("name", name=backend.session.name_in(tag))
        case "join":
            try:
                tell("inside", name=await backend.session.join(tag))
            except QuorateError as error:
                tell("outside", error=type(error).__name__)


async def main() -> None:
    order = json.loads(sys.argv[1])
    backend = Backend(
        order["url"],
        namespace=order["namespace"],
        terms=LeaseTerms(**order["terms"]),
        emit=tell_event,
    )
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, lambda: lines.put_nowait(sys.stdin.readline()))
    async with backend:
        tag = backend.wire.keys.tag
        tell("ready", name=await backend.session.join(tag))
        while line := await lines.get():
            word, _, rest = line.strip().partition(" ")
            await obey(backend, tag, word, rest)
    tell("ended")


if __name__ == "__main__":
    asyncio.run(main())
