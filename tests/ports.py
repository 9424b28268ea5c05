"""Ports of 127.0.0.1 for the servers of the tests, each given to nobody else.

A port that the kernel proposes may be gone before a server has bound it, or while the
server is down: each connection that anybody opens takes one of the same range. So these
lie below that range, and each process that runs tests has a block of its own, as whose
mark it holds the first port of the block for as long as it lives.
"""

from __future__ import annotations

import socket
import threading
from pathlib import Path

LOWEST = 10_000
BLOCK = 400
BLOCKS = 20
"""At least so many, even where the kernel's range begins lower."""

PROPOSED_FROM = 32_768
"""Where the range begins from which Linux serves connections, unless told otherwise."""

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Ports:
    """The block of one process. Its ports are given in turn, those in use left out."""

    def __init__(self, first_proposed: int | None = None) -> None:
        self._end = max(first_proposed or _first_proposed(), LOWEST + BLOCKS * BLOCK)
        self._lock = threading.Lock()
        self._mark: socket.socket | None = None
        self._first = 0
        self._given = 0

    def next(self) -> int:
        """A port on which nobody listens."""
        with self._lock:
            if self._mark is None:
                self._settle()
            for _ in range(BLOCK - 1):
                port = self._first + 1 + self._given % (BLOCK - 1)
                self._given += 1
                if (probe := _bound(port)) is not None:
                    probe.close()
                    return port
        raise RuntimeError(f"all ports from {self._first} on are in use")

    def close(self) -> None:
        """Leave the block to others."""
        if self._mark is not None:
            self._mark.close()
            self._mark = None

    def _settle(self) -> None:
        for first in range(LOWEST, self._end - BLOCK + 1, BLOCK):
            if (mark := _bound(first, alone=True)) is not None:
                self._mark, self._first = mark, first
                return
        raise RuntimeError(f"all ports from {LOWEST} to {self._end} are in use")


def _bound(port: int, *, alone: bool = False) -> socket.socket | None:
    """A socket on this port, unless somebody listens, or if `alone`, has bound it."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(not alone))
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        probe.close()
        return None
    return probe


def _first_proposed() -> int:
    try:
        return int(_RANGE.read_text().split()[0])
    except (OSError, ValueError):
        return PROPOSED_FROM


_ours = Ports()


def free_port() -> int:
    """A port of this process's block on which nobody listens."""
    return _ours.next()
