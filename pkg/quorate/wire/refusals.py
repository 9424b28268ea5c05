"""What becomes of a call that a server did not do, in words. Pure."""

from __future__ import annotations

from quorate.core.errors import (
    OutcomeUnknown,
    QuorateError,
    StoreRefused,
    StoreUnavailable,
)

_COMING_BACK = frozenset(("LOADING", "BUSY", "MASTERDOWN", "READONLY", "CLUSTERDOWN"))
"""Codes of a server that has not done it now and will serve again, or another will."""


class Demoted(StoreUnavailable):
    """The server is a replica by now: it has not done it, and another would."""


def refused(shown: str, text: str) -> QuorateError:
    """The error for an error reply of the server."""
    code = text.partition(" ")[0]
    if code in _COMING_BACK:
        kind = Demoted if code == "READONLY" else StoreUnavailable
        return kind(
            f"{shown} does not serve right now.",
            text,
            "It says so itself; it usually passes.",
        )
    return StoreRefused(f"{shown} answered with an error.", text)


def unanswered(shown: str, why: str, *, was_sent: bool) -> QuorateError:
    """The error for a call whose connection is gone."""
    kind = OutcomeUnknown if was_sent else StoreUnavailable
    return kind(
        f"No answer from {shown}.",
        why,
        "It may have happened: look before you repeat it."
        if was_sent
        else "It was not sent; try again.",
    )


def too_many(name: str, shown: str, most: int) -> StoreUnavailable:
    """The error for a call that would wait behind too many others."""
    return StoreUnavailable(
        f"{name} was not sent: {most} calls wait for a reply already.",
        f"{shown} is slower than its callers.",
        "Ask for less at once, or spread the load over more servers.",
    )


def broken(name: str, shown: str) -> StoreUnavailable:
    """The error for a call that finds no connection any more."""
    return StoreUnavailable(
        f"{name} was not sent.", f"The connection to {shown} broke."
    )


def undialled(shown: str, error: Exception | None = None) -> StoreUnavailable:
    """The error for who waited for a connection that failed, or is not wanted now."""
    if error is not None:
        return StoreUnavailable(f"{shown} cannot be reached.", repr(error))
    return StoreUnavailable(
        f"Connecting to {shown} was given up.", "The connection was closed meanwhile."
    )
