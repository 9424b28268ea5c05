"""The processes of the example: started, killed, stopped, continued, all for real."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

START_S = 20.0
END_S = 8.0


class Fleet:
    """Child processes by name. Leaving the block ends every one of them."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = {**os.environ, **environment}
        self._children: dict[str, asyncio.subprocess.Process] = {}

    async def __aenter__(self) -> Fleet:
        return self

    async def __aexit__(self, *_: object) -> None:
        for child in self._children.values():
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGCONT)
                child.terminate()
        for child in self._children.values():
            try:
                async with asyncio.timeout(END_S):
                    await child.wait()
            except TimeoutError:
                child.kill()
                await child.wait()

    async def start(self, name: str, module: str, *arguments: str) -> int:
        """Start `python -m module … PORT_FILE …` and return the port it listens on.

        The argument `PORT_FILE` is replaced by the file that the child writes it to.
        """
        port_file = self._folder / f"{name}.port"
        words = [str(port_file) if a == "PORT_FILE" else a for a in arguments]
        with (self._folder / f"{name}.log").open("wb") as log:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                *words,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        self._children[name] = child
        try:
            async with asyncio.timeout(START_S):
                return await self._port(name, child, port_file)
        except TimeoutError as error:
            raise RuntimeError(
                f"{name} did not listen within {START_S:g} s:\n{self.log(name)}"
            ) from error

    async def _port(
        self, name: str, child: asyncio.subprocess.Process, port_file: Path
    ) -> int:
        while not port_file.exists():
            if child.returncode is not None:
                raise RuntimeError(f"{name} ended early:\n{self.log(name)}")
            await asyncio.sleep(0.02)
        return int(port_file.read_text())

    def pid(self, name: str) -> int:
        return self._children[name].pid

    def signal(self, name: str, number: signal.Signals) -> None:
        """SIGKILL kills it, SIGSTOP makes it stand still, SIGCONT lets it go on."""
        self._children[name].send_signal(number)

    def log(self, name: str) -> str:
        """The last lines that it printed."""
        text = (self._folder / f"{name}.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-15:])
