"""Keeps a server exactly as long as its owner lives.

A small process of its own between an owner and its server, run by path with nothing
but the standard library. It ends the server when the owner closes the pipe between
them, dies in whatever way, or asks for it with SIGTERM; should the guard itself be
killed, the kernel ends the server (Linux). A kernel's death signal alone would not do
for the owner: it is sent when the owner's *thread* ends, and only Linux has it.

    python -I -S guard.py GRACE_S REMOVE COMMAND [ARGUMENT …]

Standard input is the pipe; the server's pid is written to standard output; what the
server writes goes to the guard's standard error. The server has GRACE_S seconds between
SIGTERM and SIGKILL. REMOVE is a directory to remove with its owner, or empty.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import sys
import time

BEAT_S = 0.25
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG in <sys/prctl.h>


def start(command: list[str]) -> int:
    """The pid of the server. Private files, no input, output to the log."""
    guard_pid = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() == guard_pid:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(2, 1)
            os.execv(command[0], command)  # noqa: S606 - exec is the point
    except OSError as error:
        os.write(2, f"{command[0]}: {error}\n".encode())
    finally:
        os._exit(127)


def has_ended(pid: int) -> bool:
    """Whether the server is gone; reaps it."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def watch(owner_pid: int, pid: int, bell: int, pipe: int = 0) -> bool:
    """True once the owner has gone or asks; False if the server ended by itself."""
    while os.getppid() == owner_pid:
        if has_ended(pid):
            return False
        readable, _, _ = select.select([pipe, bell], [], [], BEAT_S)
        if bell in readable and signal.SIGTERM in os.read(bell, 64):
            return True
        if pipe in readable and not os.read(pipe, 64):
            return True
    return True


def end(pid: int, grace_s: float, bell: int) -> None:
    """End the server: kindly, then not."""
    deadline = time.monotonic() + grace_s
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        while not has_ended(pid):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return
            if select.select([bell], [], [], min(left_s, BEAT_S))[0]:
                os.read(bell, 64)


def main(grace_s: float, remove: str, command: list[str]) -> None:
    """Start the server, keep it, end it."""
    owner_pid = os.getppid()
    os.umask(0o077)
    pid = start(command)
    bell, ring = os.pipe()
    os.set_blocking(ring, False)
    signal.set_wakeup_fd(ring)
    # Only now: the server must not begin with handlers that swallow its SIGTERM.
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    with contextlib.suppress(OSError):
        os.write(1, f"{pid}\n".encode())
    os.close(1)
    if watch(owner_pid, pid, bell):
        if not has_ended(pid):
            end(pid, grace_s, bell)
        if remove:
            shutil.rmtree(remove, ignore_errors=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2], sys.argv[3:])
