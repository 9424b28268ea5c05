"""The wall clock of a server, set forward and back while it runs.

A few lines of C stand before the server's calls for the time and add what a file says,
so that a jump is one write. Monotonic time stays true, as it does when somebody sets a
machine's clock.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("fake_clock.c")
WIDTH = 20


class MissingCompiler(Exception):
    """There is no C compiler on this machine, and so no clock that can be set."""


class FakeClock:
    """The clock of one server. Raises `MissingCompiler`."""

    def __init__(self, directory: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise MissingCompiler("setting a server's clock needs a C compiler (cc)")
        directory.mkdir(parents=True, exist_ok=True)
        library = directory / "fake_clock.so"
        subprocess.run(
            [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE)],
            check=True,
            capture_output=True,
        )
        self._file = directory / "clock"
        self.set(0)
        self.environment = {
            "LD_PRELOAD": str(library),
            "QUORATE_FAKE_CLOCK": str(self._file),
        }

    def set(self, offset_s: int) -> None:
        """From now on the server is so many seconds ahead of the machine."""
        mode = "r+" if self._file.exists() else "w"
        with self._file.open(mode) as file:
            file.write(f"{offset_s:+d}".ljust(WIDTH))
