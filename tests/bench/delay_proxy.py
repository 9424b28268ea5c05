"""A further round trip between client and server: a small proxy in C, compiled here.

One in Python would itself be what is measured.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.environments import HOME
from tests.bench.measuring import pin

SOURCE = Path(__file__).with_name("delay_proxy.c")


class MissingCompiler(Exception):
    """There is no C compiler on this machine."""


@dataclass(frozen=True, slots=True)
class DelayProxy:
    """A running proxy; it can be watched for noise like any process of ours."""

    pid: int
    url: str


@contextlib.contextmanager
def delayed(port: int, round_trip_s: float, processor: int) -> Iterator[DelayProxy]:
    """A proxy to 127.0.0.1:`port`, half of the time each way."""
    delay_us = round(round_trip_s / 2 * 1e6)
    with subprocess.Popen(
        [str(_program()), str(port), str(delay_us)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        listens = int(process.stdout.readline())
        pin(process.pid, processor)
        try:
            yield DelayProxy(process.pid, f"redis://127.0.0.1:{listens}/0")
        finally:
            process.kill()


def _program() -> Path:
    program = HOME / "delay_proxy"
    if program.exists() and program.stat().st_mtime > SOURCE.stat().st_mtime:
        return program
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise MissingCompiler("a delay between client and server needs a C compiler")
    HOME.mkdir(exist_ok=True)
    subprocess.run(
        [compiler, "-O2", "-Wall", "-o", str(program), str(SOURCE)],
        check=True,
        capture_output=True,
    )
    return program
