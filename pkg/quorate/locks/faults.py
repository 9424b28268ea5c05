"""The errors of this room that several places raise, in the same words. Pure."""

from __future__ import annotations

from quorate.core.errors import DeadlockError, LockLostError

from .model import HolderFacts, shown


def lost_error(name: str, why: str) -> LockLostError:
    """The error of a block whose lock is gone."""
    return LockLostError(
        f"The lock {shown(name)!r} was lost.",
        f"Why: {why}.",
        "Somebody else may hold it. Write with the token, so that stale writes are "
        "refused, and take the lock again to go on.",
    )


def upgrade_conflict(name: str, other: HolderFacts | None) -> DeadlockError:
    """The error of the second reader of a lock that wants to become its writer."""
    return DeadlockError(
        f"The hold of {shown(name)!r} cannot be upgraded.",
        "Another reader waits to be the only one, and would wait for this one for "
        f"ever: {other or 'unknown'}.",
        "Leave the block and take the lock anew as EXCLUSIVE.",
    )
