"""Under which grant the running code acts.

Whoever holds a lock writes with its token, and a store refuses a token that is older
than one it has seen. The lock puts the token here for the length of its block, so that
the stores find it without being handed it. Tasks started inside the block inherit it.
The handler of a queue's task runs under the token of its claim in the same way.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Protocol, TypeAlias


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

    @property
    def fence(self) -> Fence:
        return self

    @property
    def shown(self) -> str:
        """The name as people know it, without the mark that tells kinds apart."""
        return self.name.lstrip("\x02\x03")


@dataclass(frozen=True, slots=True)
class TaskFence(Fence):
    """The claim of a task, under which its handler runs: the same proof as of a lock.

    `name` is that of the task. Many tasks of one worker hang on one session.
    """

    @property
    def worker(self) -> TaskFence:
        """What all tasks of this worker have in common: the session, and no name."""
        return TaskFence("", 0, self.session, self.tag)


class Fenced(Protocol):
    """What has a fence, to be made when somebody asks: most blocks write nothing."""

    @property
    def fence(self) -> Fence: ...


Before: TypeAlias = "Token[Fenced | None]"

_current: ContextVar[Fenced | None] = ContextVar("quorate_fence", default=None)


def current_fence() -> Fence | None:
    """The grant of the innermost lock around the running code, or None."""
    grant = _current.get()
    return None if grant is None else grant.fence


def is_fenced() -> bool:
    """Is there a lock around the running code?"""
    return _current.get() is not None


def enter_fence(grant: Fenced) -> Before:
    """From here on the code acts under `grant`. Hand the result to `leave_fence`."""
    return _current.set(grant)


def leave_fence(before: Before) -> None:
    """The code acts again under what it acted under before.

    Elsewhere than in the task that entered nothing was changed, and nothing is.
    """
    try:
        _current.reset(before)
    except ValueError:
        return
