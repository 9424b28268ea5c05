"""What the server tells this process: there is work, a task is over, stop a task.

One channel a process, in a Cluster one for each queue. Every message is a hint: whoever
misses one finds out by asking, a little later.
"""

from __future__ import annotations

from collections.abc import Callable

from quorate.core.errors import StoreUnavailable
from quorate.wire.ports import Listener

from .keys import channels

Told = Callable[[str], None]


def _nothing(_what: str) -> None:
    return None


class Mailbox:
    """Messages to one process. Set what should hear them before it is opened."""

    def __init__(self, inbox: Listener, session_id: str) -> None:
        self._inbox = inbox
        self._session_id = session_id
        self._leave: Callable[[], None] | None = None
        self._opened: set[str] = set()
        self.on_work: Told = _nothing
        self.on_over: Told = _nothing
        self.on_cancel: Told = _nothing
        self.on_gap: Callable[[], None] = lambda: None

    def channel_in(self, tag: str) -> str:
        """Where this process hears of the queues of this tag."""
        return f"{channels(tag)}{self._session_id}"

    async def open(self, tag: str) -> None:
        """Hear from now on, or as soon as the server can be reached."""
        if self._leave is None:
            self._leave = self._inbox.on_resync(lambda: self.on_gap())
        channel = self.channel_in(tag)
        if channel in self._opened:
            return
        self._opened.add(channel)
        try:
            await self._inbox.subscribe(channel, self.hear)
        except StoreUnavailable:
            # The inbox keeps the subscription in mind and tells of the gap.
            return

    def close(self) -> None:
        opened, self._opened = self._opened, set()
        for channel in opened:
            self._inbox.unsubscribe(channel, self.hear)
        if self._leave is not None:
            self._leave()
            self._leave = None

    def hear(self, message: bytes) -> None:
        """One message: a letter, and the queue or task that it is about; or both."""
        letter, about = message[:1], message[1:].decode(errors="replace")
        if letter == b"w":
            self.on_work(about)
        elif letter == b"d":
            self.on_over(about)
        elif letter == b"c":
            self.on_cancel(about)
