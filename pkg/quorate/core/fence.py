"""Under which grant the running code acts.

Whoever holds a lock writes with its token, and a store refuses a token that is older
than one it has seen. The lock puts the token here for the length of its block, so that
the stores find it without being handed it. Tasks started inside the block inherit it.
The handler of a queue's task runs under the token of its claim in the same way.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Fence:
    """Proof of a grant, as a store wants it: what was granted, to whom, and when.

    Of two grants of one name the later has the higher `token`. `session` is the name
    in `tag` on whose life the grant depends.
    """

    name: str
    token: int
    session: str
    tag: str


@dataclass(frozen=True, slots=True)
class TaskFence(Fence):
    """The claim of a task, under which its handler runs: the same proof as of a lock.

    `name` is that of the task. Many tasks of one worker hang on one session.
    """

    @property
    def worker(self) -> TaskFence:
        """What all tasks of this worker have in common: the session, and no name."""
        return TaskFence("", 0, self.session, self.tag)


Before: TypeAlias = "Token[Fence | None]"

_current: ContextVar[Fence | None] = ContextVar("quorate_fence", default=None)


def current_fence() -> Fence | None:
    """The grant of the innermost lock around the running code, or None."""
    return _current.get()


def enter_fence(fence: Fence) -> Before:
    """From here on the code acts under `fence`. Hand the result to `leave_fence`."""
    return _current.set(fence)


def leave_fence(before: Before) -> None:
    """The code acts again under what it acted under before."""
    _current.reset(before)
