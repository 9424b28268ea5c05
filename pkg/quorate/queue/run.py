"""One attempt at a task, and why it may be stopped from outside."""

from __future__ import annotations

import asyncio
from enum import Enum

from quorate.core.fence import TaskFence

from .context import TaskContext
from .envelope import Header
from .handlers import Handler
from .model import Lease


class Stop(Enum):
    """Why an attempt is stopped from outside."""

    TIMEOUT = "timeout"
    CANCEL = "cancel"
    RELEASE = "release"
    LOST = "lost"


class Run:
    """One attempt under way."""

    __slots__ = (
        "admitted_at", "begun", "context", "ends_at", "handler", "header", "is_marked",
        "is_read", "lease", "limit_s", "payload", "stop", "tag", "task",
    )  # fmt: skip

    def __init__(
        self,
        lease: Lease,
        header: Header,
        payload: bytes,
        handler: Handler,
        tag: str = "",
    ) -> None:
        self.lease = lease
        self.header = header
        self.payload = payload
        self.handler = handler
        self.limit_s = 0.0
        self.ends_at = 0.0
        self.admitted_at = 0.0
        self.begun = False
        self.stop: Stop | None = None
        self.is_marked = False
        self.is_read = False
        self.context: TaskContext | None = None
        self.task: asyncio.Task[None] | None = None
        self.tag = tag

    @property
    def fence(self) -> TaskFence:
        """The proof of the claim under which its handler runs."""
        lease = self.lease
        return TaskFence(lease.id, lease.token, lease.session, self.tag)
