"""A process that does what it is told: orders and answers are lines of JSON.

It runs in the environment of its peer, reads orders from its standard input and answers
each; it ends with its input. An order `{"do": "x", …}` is a call of `do_x(…)`, or of
what the child makes of a word that it has no method for.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, Protocol

LONGEST_ORDER = 2**24
"""In bytes. One of them names 10,000 locks."""


class Obedient(Protocol):
    """What the orders are given to."""

    async def do(self, order: dict[str, Any]) -> dict[str, Any]: ...

    async def close(self) -> None: ...


async def _obey(settings: dict[str, Any], child_of: Callable[[Any], Obedient]) -> None:
    peer = importlib.import_module(settings["peer"]).Peer()
    await peer.open(settings["url"], settings.get("options", {}))
    child = child_of(peer)
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader(limit=LONGEST_ORDER)
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    _answer({"ready": os.getpid()})
    while line := await orders.readline():
        try:
            _answer(await child.do(json.loads(line)))
        except Exception as error:
            traceback.print_exc()
            _answer({"failed": f"{type(error).__name__}: {error}"})
    await child.close()


def _answer(facts: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main(child_of: Callable[[Any], Obedient]) -> None:
    """Be such a child. Its settings are the first argument."""
    settings = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.ERROR)
    if settings.get("uvloop", True):
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_obey(settings, child_of))
    else:
        asyncio.run(_obey(settings, child_of))
