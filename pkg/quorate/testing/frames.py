"""Cuts a Redis byte stream into whole commands and replies. Pure.

The fault proxy needs to know where one reply ends, not what it says. RESP2 and RESP3;
a line that begins with none of their marks is an inline command.
"""

from __future__ import annotations

MOST_BYTES = 64 * 1024 * 1024
_LINES = b"+-:_,#("
_BULKS = b"$=!"
_ARRAYS = b"*~>"
_PAIRS = b"%|"


class Frames:
    """Feed it bytes as they come; it gives back what is complete."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The commands or replies that `data` completes, as they stood."""
        buffer = self._rest + data
        whole: list[bytes] = []
        at = 0
        while (end := _end(buffer, at)) is not None:
            whole.append(buffer[at:end])
            at = end
        self._rest = buffer[at:]
        if len(self._rest) > MOST_BYTES:
            raise ValueError(f"a reply of over {MOST_BYTES} bytes")
        return whole


def _end(buffer: bytes, at: int) -> int | None:
    """Where the frame that begins at `at` ends; None if it is not all there."""
    missing = 1
    while missing:
        line_end = buffer.find(b"\r\n", at)
        if line_end < 0:
            return None
        mark, body = buffer[at : at + 1], buffer[at + 1 : line_end]
        at = line_end + 2
        missing -= 1
        if not mark or mark in _LINES or mark not in _BULKS + _ARRAYS + _PAIRS:
            continue
        size = int(body)
        if mark in _BULKS:
            at += size + 2 if size >= 0 else 0
            if at > len(buffer):
                return None
        elif size > 0:
            missing += size * (2 if mark in _PAIRS else 1)
        missing += mark == b"|"  # attributes stand before the reply that they describe
    return at
