"""The guard ends its server when it should, and only then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.wire import guard

STUBBORN = "trap '' TERM; echo ready >&2; while :; do sleep 0.01; done"


@pytest.fixture
def bell() -> Iterator[tuple[int, int]]:
    """Both ends of the pipe by which signals ring."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def server() -> int:
    return guard.start(["/bin/sleep", "60"])


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_pipe_that_closes_ends_the_watch(bell: tuple[int, int]) -> None:
    ours, owners = os.pipe()
    pid = server()

    os.write(owners, b"not the end yet")
    os.close(owners)

    assert guard.watch(os.getppid(), pid, bell[0], ours) is True
    guard.end(pid, 5.0, bell[0])
    assert is_gone(pid)
    os.close(ours)


def test_another_parent_ends_the_watch(bell: tuple[int, int]) -> None:
    pid = server()

    assert guard.watch(os.getppid() + 1, pid, bell[0]) is True

    guard.end(pid, 5.0, bell[0])


def test_a_sigterm_ends_the_watch(bell: tuple[int, int]) -> None:
    ours, owners = os.pipe()
    pid = server()
    os.write(bell[1], bytes([signal.SIGHUP, signal.SIGTERM]))

    assert guard.watch(os.getppid(), pid, bell[0], ours) is True

    guard.end(pid, 5.0, bell[0])
    os.close(ours)
    os.close(owners)


def test_a_server_that_ends_by_itself_is_not_the_owner_s_end(
    bell: tuple[int, int],
) -> None:
    ours, owners = os.pipe()
    pid = server()
    os.kill(pid, signal.SIGKILL)

    assert guard.watch(os.getppid(), pid, bell[0], ours) is False

    os.close(ours)
    os.close(owners)


def test_a_server_that_will_not_end_is_killed_after_its_grace(
    bell: tuple[int, int],
) -> None:
    began = time.monotonic()
    pid = server()
    os.kill(pid, signal.SIGSTOP)
    os.write(bell[1], bytes([signal.SIGCHLD]))

    guard.end(pid, 0.1, bell[0])

    assert is_gone(pid)
    assert 0.1 <= time.monotonic() - began < 2


def test_what_cannot_be_started_says_so(
    bell: tuple[int, int], capfd: pytest.CaptureFixture[str]
) -> None:
    pid = guard.start(["/no/such/server"])

    while not guard.has_ended(pid):
        time.sleep(0.001)

    assert "/no/such/server: " in capfd.readouterr().err
    assert guard.has_ended(pid)


def keep(*command: str, remove: str = "") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__, "0.2", remove, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_guard_tells_the_pid_and_ends_its_server_and_directory(
    tmp_path: Path,
) -> None:
    place = tmp_path / "private"
    place.mkdir()
    with keep("/bin/sh", "-c", STUBBORN, remove=str(place)) as keeper:
        assert keeper.stdout is not None
        assert keeper.stderr is not None
        assert keeper.stdin is not None
        pid = int(keeper.stdout.readline())
        assert keeper.stderr.readline() == b"ready\n"

        keeper.stdin.close()

        assert keeper.wait(5) == 0
    assert is_gone(pid)
    assert not place.exists()


def test_a_guard_ends_with_its_server_and_leaves_the_directory(tmp_path: Path) -> None:
    with keep("/bin/true", remove=str(tmp_path)) as keeper:
        assert keeper.wait(5) == 0

    assert tmp_path.exists()
