"""Ids that are never used twice.

A session is host, pid and a random incarnation, so that a restarted process never
looks like the one before it. A task id carries its time of birth (UUIDv7, RFC 9562),
so its age is known without asking.
"""

from __future__ import annotations

import os
import re
import socket
import uuid
from collections.abc import Callable

Entropy = Callable[[int], bytes]
"""`n` random bytes; `os.urandom` unless a test hands in its own."""

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9-]+")


def new_session_id(
    host: str | None = None, pid: int | None = None, entropy: Entropy = os.urandom
) -> str:
    """`<host>-<pid>-<incarnation>`; host is cut to 40 plain characters."""
    plain = _NOT_PLAIN.sub("-", host or socket.gethostname())[:40].strip("-") or "host"
    return f"{plain}-{os.getpid() if pid is None else pid}-{entropy(6).hex()}"


def new_task_id(now_s: float, entropy: Entropy = os.urandom) -> str:
    """A UUIDv7 as 32 hex digits: sorts by time of birth."""
    millis = int(now_s * 1000) & 0xFFFF_FFFF_FFFF
    chance = int.from_bytes(entropy(10), "big")
    value = (millis << 80) | (0x7 << 76) | ((chance >> 68 & 0xFFF) << 64)
    value |= (0b10 << 62) | (chance & 0x3FFF_FFFF_FFFF_FFFF)
    return f"{value:032x}"


class TaskIds:
    """Task ids by the thousand: each a little above the last one of its millisecond.

    The counter of RFC 9562 §6.2 (method 2): chance begins each millisecond anew, in
    each process.
    """

    def __init__(self, entropy: Entropy = os.urandom) -> None:
        self._entropy = entropy
        self._millis, self._pid = -1, 0
        self._head = ""
        self._count = self._end = 0

    def next(self, now_s: float) -> str:
        """An id that was never given out before."""
        millis, pid = int(now_s * 1000), os.getpid()
        if millis != self._millis or pid != self._pid or self._count >= self._end:
            self._begin(now_s)
            self._millis, self._pid = millis, pid
        ident = f"{self._head}{self._count:016x}"
        self._count += 1
        return ident

    def many(self, now_s: float, count: int) -> list[str]:
        """So many ids that were never given out before."""
        made: list[str] = []
        while len(made) < count:
            made.append(self.next(now_s))
            first = self._count
            self._count = min(first + count - len(made), self._end)
            head = self._head
            made += [f"{head}{number:016x}" for number in range(first, self._count)]
        return made

    def _begin(self, now_s: float) -> None:
        first = new_task_id(now_s, self._entropy)
        self._head, self._count = first[:16], int(first[16:], 16)
        # The two bits of the variant stay as they are.
        self._end = (self._count | 0x3FFF_FFFF_FFFF_FFFF) + 1


def born_at(task_id: str) -> float:
    """The wall time, in seconds, at which `new_task_id` made this id."""
    return int(task_id[:12], 16) / 1000


def derived_id(namespace: str, name: str) -> str:
    """The same 32 hex digits for the same two strings, everywhere (UUIDv5)."""
    return uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, namespace), name).hex


def short(entropy: Entropy = os.urandom) -> str:
    """Eight hex digits, to tell neighbours apart."""
    return entropy(4).hex()
