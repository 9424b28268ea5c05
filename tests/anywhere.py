"""What tests of every backend do to a wire, whatever stands behind it.

A Cluster has no one tag, no one connection for messages and no plain publishing.
"""

from __future__ import annotations

import asyncio
import hashlib

from quorate.wire.calls import Calls
from quorate.wire.cluster_calls import ClusterCalls
from quorate.wire.cluster_inbox import ClusterInbox
from quorate.wire.inbox import Inbox
from quorate.wire.redis import Wire
from quorate.wire.scripts import Dialect, Script


def in_one_slot(script: Script, dialect: Dialect) -> tuple[str, str]:
    """`Script.spoken`, so that a Cluster's node checks each key and each channel.

    Without a shebang it lets a script use any slot that happens to be its own.
    """
    _, text = _spoken(script, dialect)
    if dialect == "sharded" and not text.startswith("#!"):
        text = f"#!lua\n{text}"
    return hashlib.sha1(text.encode()).hexdigest(), text


_spoken = Script.spoken


def a_tag(wire: Wire) -> str:
    """Some tag of the wire's namespace."""
    return wire.keys.config_tag


async def publish(wire: Wire, channel: str, body: str) -> int:
    """Send a message as a script would; how many have got it."""
    word = "SPUBLISH" if wire.keys.is_spread else "PUBLISH"
    return int(await wire.calls.command(word, channel, body))


async def flush(wire: Wire) -> None:
    """Remove all data of the server, or of every master."""
    await asyncio.gather(*(calls.command("FLUSHALL") for calls in _everywhere(wire)))


async def forget_scripts(wire: Wire) -> None:
    """Let the server, or every master, forget all scripts."""
    calls = _everywhere(wire)
    await asyncio.gather(*(each.command("SCRIPT", "FLUSH") for each in calls))


def _everywhere(wire: Wire) -> list[Calls]:
    if isinstance(wire.calls, ClusterCalls):
        topology = wire.calls.topology
        return [topology.node(name) for name in topology.map.owners]
    assert isinstance(wire.calls, Calls)
    return [wire.calls]


def inboxes(wire: Wire) -> list[Inbox]:
    """Each connection for messages."""
    if isinstance(wire.inbox, ClusterInbox):
        return list(wire.inbox._nodes.values())
    assert isinstance(wire.inbox, Inbox)
    return [wire.inbox]


def cut_inbox(wire: Wire) -> None:
    """The connections for messages break."""
    for inbox in inboxes(wire):
        assert inbox._link is not None
        inbox._link.close()
