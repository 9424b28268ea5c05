"""Finds out whether modules of tasks can be imported, before a worker is started.

It happens in a process of its own, so that the supervisor never holds the application's
code: after a change on disk the next look sees the change.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Sequence
from dataclasses import dataclass

from quorate.core.errors import InvalidInput, QueueError

from .declared import all_declared
from .references import load, resolve

MODULE = "quorate.queue.rehearsal"
WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Found:
    """What the modules declare: task → queue."""

    tasks: dict[str, str]

    @property
    def queues(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.tasks.values()))


async def rehearse(modules: Sequence[str], prepare: Sequence[str] = ()) -> Found:
    """Import `modules` elsewhere, and look for the functions that `prepare` names.

    Raises `InvalidInput` that says what is wrong and where.
    """
    ours, theirs = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", MODULE, str(theirs)),
            json.dumps([list(modules), list(prepare), sys.path]),
            stdin=DEVNULL,
            pass_fds=(theirs,),
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb")
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            said = await reader.read()
            code = await process.wait()
    except TimeoutError as error:
        raise QueueError(
            f"{', '.join(modules)} could not be imported within {WITHIN_S:g} s.",
            "A module of tasks should define, and not do.",
        ) from error
    finally:
        transport.close()
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _understood(modules, said, code)


def _understood(modules: Sequence[str], said: bytes, code: int) -> Found:
    if not said:
        raise InvalidInput(
            f"{', '.join(modules)} cannot be imported.",
            f"The process that tried ended with exit code {code}.",
            "A module of tasks should define, and not do.",
        )
    facts = json.loads(said)
    if "fault" in facts:
        raise InvalidInput(*facts["fault"])
    return Found(facts["tasks"])


def look(modules: Sequence[str], prepare: Sequence[str]) -> dict[str, object]:
    """The look itself: what was found, or the fault."""
    try:
        for module in modules:
            load(module)
        for reference in prepare:
            resolve(reference)
    except InvalidInput as error:
        return {"fault": (error.what, error.why, error.fix)}
    tasks = {each.template.name: each.template.queue for each in all_declared()}
    return {"tasks": tasks}


def main(arguments: Sequence[str]) -> None:
    """Look, and tell it to the descriptor that is the first argument."""
    modules, prepare, path = json.loads(arguments[1])
    sys.path[:] = path
    found = look(modules, prepare)
    with os.fdopen(int(arguments[0]), "w") as told:
        json.dump(found, told)


if __name__ == "__main__":
    main(sys.argv[1:])
