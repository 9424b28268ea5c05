"""A process beside a worker: `python -m quorate.queue.aside_process`.

It does one call after the other, as they come through the line, and ends with it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Awaitable
from types import ModuleType
from typing import cast

from quorate.core.codec import Json
from quorate.core.errors import words_of

from .references import load_main, resolve


class Calls:
    """Does calls; the script that was started elsewhere is loaded once."""

    def __init__(self) -> None:
        self._main: ModuleType | None = None

    def do(self, words: Json) -> Json:
        """One call: {"value": …} or {"error": [class, its name, words, rest]}."""
        try:
            return {"value": self._value(words)}
        except (Exception, SystemExit) as error:
            kind = type(error)
            asked = getattr(error, "retry_after_s", None)
            rest_s = asked if isinstance(asked, (int, float)) else None
            text = words_of(error).removeprefix(f"{kind.__name__}: ")
            name = f"{kind.__module__}:{kind.__qualname__}"
            return {"error": [name, kind.__name__, text, rest_s]}

    def _value(self, words: Json) -> Json:
        sys.path.extend(entry for entry in words["path"] if entry not in sys.path)
        if self._main is None:
            self._main = load_main(*words["main"])
        found = resolve(words["call"], self._main)
        function = getattr(found, "run", found)
        value = function(*words["args"], **words["kwargs"])
        if inspect.isawaitable(value):
            value = asyncio.run(_awaited(value))
        json.dumps(value)  # refused here, where the handler is to blame
        return value


async def _awaited(value: Awaitable[object]) -> object:
    return await value


def die_with(line: int) -> None:
    """End this process at once when the worker is gone, however busy it is."""
    poll = select.poll()
    poll.register(line, 0)
    poll.poll()
    os._exit(1)


def main(line: int) -> None:
    """Do calls until the line ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end = socket.socket(fileno=line)
    threading.Thread(target=die_with, args=(line,), daemon=True).start()
    calls = Calls()
    with end.makefile("rwb") as stream:
        for words in stream:
            said = calls.do(json.loads(words))
            stream.write(json.dumps(cast("object", said)).encode() + b"\n")
            stream.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
