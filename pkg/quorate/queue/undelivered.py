"""What callers are told whose task did not reach the server, or may not have."""

from __future__ import annotations

import asyncio

from quorate.core.errors import OutcomeUnknown, QuorateError, StoreUnavailable

from .ports import Parcel

Waiter = tuple[Parcel, "asyncio.Future[str]"]


def sent(waiters: list[Waiter], sending: asyncio.Task[None]) -> None:
    """Nobody waits for ever, however the call ended, even before it began."""
    if sending.cancelled():
        for _, done in waiters:
            done.cancel()


def give_up(waiters: list[Waiter]) -> None:
    """The manager has been stopped."""
    for _, done in waiters:
        if not done.done():
            done.set_exception(
                StoreUnavailable(
                    "The task was not enqueued.",
                    "Its queue manager has been stopped.",
                    "Enqueue before stop(), or open another manager.",
                )
            )


def named(error: Exception, task_id: str) -> QuorateError:
    """The error for one of several callers, with the id that makes it repeatable."""
    if isinstance(error, QuorateError) and not isinstance(error, OutcomeUnknown):
        return type(error)(error.what, error.why, error.fix)
    told = OutcomeUnknown(
        f"The task {task_id} may or may not have been enqueued.",
        str(error) if isinstance(error, QuorateError) else repr(error),
        f"Enqueue it again with task_id={task_id!r}: it will not run twice for that.",
    )
    told.__cause__ = error
    return told
