"""A command that runs while a lock is held, and not longer.

It learns its token from its environment. When the lock is lost, or who asked for it
goes away, it is told to end, and is ended if it does not.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from quorate.core.errors import InvalidInput

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Command:
    """A child process, and what is below it unless it has the terminal."""

    def __init__(self, process: asyncio.subprocess.Process, *, has_group: bool) -> None:
        self._process = process
        self._has_group = has_group

    @classmethod
    async def start(
        cls, words: Sequence[str], environment: Mapping[str, str]
    ) -> Command:
        """Raises `InvalidInput` if there is no such command."""
        # In a terminal the child stays in the foreground, so that it can read from it.
        has_group = not sys.stdin.isatty()
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                env=dict(environment),
                process_group=0 if has_group else None,
            )
        except OSError as error:
            raise InvalidInput(
                f"The command {words[0]!r} cannot be run.",
                str(error),
                "Name a program and its arguments after --.",
            ) from error
        return cls(process, has_group=has_group)

    def send(self, number: signal.Signals) -> None:
        """Pass a signal on to it."""
        if self._process.returncode is not None:
            return
        if self._has_group:
            os.killpg(self._process.pid, number)
        else:
            self._process.send_signal(number)

    async def wait(self) -> int:
        """Its exit code; 128 and the signal's number if a signal ended it."""
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    async def end(self, grace_s: float) -> None:
        """Let it end within `grace_s` seconds, or else make it."""
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await self._process.wait()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self._process.wait()


async def run_to_the_end(
    words: Sequence[str], environment: Mapping[str, str], grace_s: float
) -> int:
    """Run a command and return its exit code. Cancelled, it ends the command first."""
    command = await Command.start(words, environment)
    loop = asyncio.get_running_loop()
    for number in PASSED_ON:
        loop.add_signal_handler(number, command.send, number)
    try:
        return await command.wait()
    except asyncio.CancelledError:
        await command.end(grace_s)
        raise
    finally:
        for number in PASSED_ON:
            loop.remove_signal_handler(number)
