"""Proof of a grant as scripts want it, and what is said when it is over."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.core.errors import SessionLostError, StaleTokenError
from quorate.core.fence import Fence

_OVERTAKEN, _SESSION_OVER = -1, -2


def proof(fence: Fence, tag: str, home: str) -> tuple[str, int, str]:
    """Name, token and session; its life can be tested only where it was granted.

    `home` is how the names of this process's sessions begin; empty tests none.
    """
    is_here = home and fence.tag == tag and fence.session.startswith(home)
    return fence.name, fence.token, fence.session if is_here else ""


def check_fenced(fence: Fence, reply: Sequence[int | bytes]) -> None:
    """Raise `StaleTokenError` or `SessionLostError` if nothing was put in."""
    if reply[0] == _OVERTAKEN:
        last = reply[1]
        shown = last.decode() if isinstance(last, bytes) else last
        raise StaleTokenError(
            f"The tasks of {fence.shown!r} were refused: its token is {fence.token}.",
            f"A later holder has enqueued with token {shown}.",
            "Stop: this process, or this task of it, no longer holds it.",
        )
    if reply[0] == _SESSION_OVER:
        raise SessionLostError(
            f"The tasks of {fence.shown!r} were refused: its session is over.",
            "What it held may belong to somebody else by now.",
            "Stop, and take the lock again to go on.",
        )
