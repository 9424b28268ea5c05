"""A server process that ends with the test run, in whatever way that ends.

What every private server of the tests has in common: it stands under the guard that
also keeps embedded servers, and it can be killed, paused and resumed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path

from quorate.wire import guard

GRACE_S = 3.0
READY_WITHIN_S = 20.0
_BEAT_S = 0.02


class Kept(ABC):
    """One server process. Faults act at once and return when they have taken effect."""

    name = "server"
    ready_within_s = READY_WITHIN_S

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 0
        self.pid = 0
        self._keeper: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)

    def __repr__(self) -> str:
        return f"<{self.name} on port {self.port}, pid {self.pid}>"

    @abstractmethod
    def command(self) -> list[str]:
        """What is run; the port is known."""

    @abstractmethod
    def answers(self) -> bool:
        """Is it ready for use?"""

    @property
    def is_running(self) -> bool:
        return self._keeper is not None and self._keeper.poll() is None

    @property
    def log(self) -> str:
        return (self.directory / "server.log").read_text(errors="replace")

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._spawn()
        deadline = time.monotonic() + self.ready_within_s
        while self._is_coming(deadline):
            time.sleep(_BEAT_S)
        self._check()

    async def restart(self) -> None:
        """Kill it if it runs, and start it again on the same port and data."""
        self.kill()
        await asyncio.to_thread(self._spawn)
        deadline = time.monotonic() + self.ready_within_s
        while await asyncio.to_thread(self._is_coming, deadline):
            await asyncio.sleep(_BEAT_S)
        self._check()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone. Twice is harmless."""
        if self._keeper is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._keeper.wait(timeout=5)
        self._forget()

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it kindly, even if it is paused."""
        if self._keeper is None:
            return
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            self.resume()
        self._keeper.wait(timeout=GRACE_S + 3)
        self._forget()

    def _spawn(self) -> None:
        command = self.command()
        log = (self.directory / "server.log").open("ab")
        self._keeper = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", guard.__file__, str(GRACE_S)),
                *(self.removed_at_the_end, *command),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=self.directory,
            start_new_session=True,
        )
        log.close()
        assert self._keeper.stdout is not None
        self.pid = int(self._keeper.stdout.readline())
        self._keeper.stdout.close()

    @property
    def removed_at_the_end(self) -> str:
        """A directory that goes with the run, however that ends."""
        return ""

    def _is_coming(self, deadline: float) -> bool:
        """True while it still has to be waited for."""
        if not self.is_running or self.answers():
            return False
        if time.monotonic() > deadline:
            self.kill()
            return False
        return True

    def _check(self) -> None:
        if not self.is_running:
            raise RuntimeError(f"{self.name} did not start; its log:\n{self.log}")

    def _forget(self) -> None:
        if self._keeper is not None and self._keeper.stdin is not None:
            self._keeper.stdin.close()
        self._keeper = None
