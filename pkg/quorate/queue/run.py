"""One attempt at a task, and why it may be stopped from outside."""

from __future__ import annotations

import asyncio
from enum import Enum

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
        "admitted_at", "begun", "context", "handler", "header", "is_marked", "is_read",
        "lease", "limit_s", "payload", "stop", "task",
    )  # fmt: skip

    def __init__(
        self, lease: Lease, header: Header, payload: bytes, handler: Handler
    ) -> None:
        self.lease = lease
        self.header = header
        self.payload = payload
        self.handler = handler
        self.limit_s = 0.0
        self.admitted_at = 0.0
        self.begun = False
        self.stop: Stop | None = None
        self.is_marked = False
        self.is_read = False
        self.context: TaskContext | None = None
        self.task: asyncio.Task[None] | None = None
