"""Grants that count only when replicas have them.

A master that dies may take with it what it has granted. Here the script and the wait
for its replicas leave in one write, on a connection that nobody else uses: as many
round trips as without. Who is not confirmed has to be given back by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.core.errors import MissingCapability, NotReplicated
from quorate.wire.link import Reply
from quorate.wire.redis import Wire
from quorate.wire.scripts import Script

from .answers import Confirm


async def call_confirmed(
    wire: Wire,
    script: Script,
    keys: Sequence[str],
    args: Sequence[str | int],
    confirm: Confirm,
) -> Reply:
    """The reply; a grant in it is known to that many replicas.

    Raises `NotReplicated` when it was granted and too few replicas have it, besides
    what `Barrier.call` raises. It is never sent a second time.
    """
    if wire.scheme in ("memory", "embedded"):
        raise MissingCapability(
            f"{wire.scheme}:// has no replicas to wait for.",
            f"replicas = {confirm.replicas} was asked for.",
            "Use a server with replicas, Sentinel or a Cluster, or leave replicas at "
            "0.",
        )
    found = await wire.barrier.call(
        script, keys, args, replicas=confirm.replicas, within_s=confirm.within_s
    )
    is_granted = isinstance(found.reply, int) or found.reply[0] == b"granted"
    if is_granted and found.replicas < confirm.replicas:
        raise NotReplicated(
            f"The lock was not confirmed: {found.replicas} of {confirm.replicas} "
            f"replicas had it within {confirm.within_s:g} s.",
            "Without them a failover could give it to somebody else. It has been given "
            "back.",
            "Look at INFO replication of the master; wait longer with "
            "replicas_within_s, or ask for fewer replicas.",
        )
    return found.reply
