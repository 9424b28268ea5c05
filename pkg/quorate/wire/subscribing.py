"""How a connection subscribes: on one server, or on one node of a Cluster. Pure.

In a Cluster a channel has a slot like a key has, and only the nodes of that slot know
of its messages (Redis 7, sharded publish/subscribe).
"""

from __future__ import annotations

from dataclasses import dataclass

from quorate.core.errors import StoreUnavailable


@dataclass(frozen=True, slots=True)
class Words:
    """How subscribing is said, and how the server says what it says."""

    subscribe: str
    unsubscribe: str
    message: bytes
    subscribed: bytes
    unsubscribed: bytes


PLAIN = Words("SUBSCRIBE", "UNSUBSCRIBE", b"message", b"subscribe", b"unsubscribe")
SHARDED = Words(
    "SSUBSCRIBE", "SUNSUBSCRIBE", b"smessage", b"ssubscribe", b"sunsubscribe"
)

MOVED = frozenset(("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"))
"""Codes of a node that does not serve the slot, or not now."""


class ChannelMoved(StoreUnavailable):
    """The channel's slot is served by another node, or by none just now."""
