"""What the server tells this process: there is work, a task is over, stop a task.

One channel a process. Every message is a hint: whoever misses one finds out by asking,
a little later.
"""

from __future__ import annotations

from collections.abc import Callable

from quorate.core.errors import StoreUnavailable
from quorate.wire.ports import Listener

Told = Callable[[str], None]


def _nothing(_what: str) -> None:
    return None


class Mailbox:
    """Messages to one process. Set what should hear them before it is opened."""

    def __init__(self, inbox: Listener, channel: str) -> None:
        self._inbox = inbox
        self._leave: Callable[[], None] | None = None
        self.channel = channel
        self.on_work: Told = _nothing
        self.on_over: Told = _nothing
        self.on_cancel: Told = _nothing
        self.on_gap: Callable[[], None] = lambda: None

    async def open(self) -> None:
        """Hear from now on, or as soon as the server can be reached."""
        if self._leave is not None:
            return
        self._leave = self._inbox.on_resync(lambda: self.on_gap())
        try:
            await self._inbox.subscribe(self.channel, self.hear)
        except StoreUnavailable:
            # The inbox keeps the subscription in mind and tells of the gap.
            return

    def close(self) -> None:
        if self._leave is not None:
            self._leave()
            self._leave = None
            self._inbox.unsubscribe(self.channel, self.hear)

    def hear(self, message: bytes) -> None:
        """One message: a letter, and the queue or task that it is about."""
        letter, about = message[:1], message[1:].decode(errors="replace")
        if letter == b"w":
            self.on_work(about)
        elif letter == b"d":
            self.on_over(about)
        elif letter == b"c":
            self.on_cancel(about)
