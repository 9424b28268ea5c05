"""What anybody can see of the locks of all processes, and end by hand.

Who holds a lock and who waits, why somebody waits, and taking a lock away from a holder
that cannot be reached otherwise. Nothing here is needed to hold a lock.
"""

from __future__ import annotations

import asyncio

from quorate.core.errors import MissingCapability
from quorate.core.names import check_name

from .model import Explanation, LockLine
from .store import LockStore, WaitStore
from .why import Why, chain

MOST_LISTED = 10_000


class Looking:
    """Questions to the store of a lock manager."""

    _store: LockStore
    _waits: WaitStore | None

    async def explain(self, name: str) -> Explanation:
        """Who holds the lock, since when, and who waits. One request."""
        return await self._store.explain(check_name(name, "lock"))

    async def ls(self, most: int = MOST_LISTED) -> list[LockLine]:
        """All locks that are held or awaited, by anybody. One request a tag."""
        return await self._store.survey(most)

    async def why(self, owner: str) -> Why:
        """What an owner waits for, who holds that, what that one waits for, and so on.

        `owner`: its id, label or session, as `explain` shows them. Only locks are
        followed, neither semaphores nor elections.
        """
        lines = await self._store.survey(MOST_LISTED)
        awaited = [x.name for x in lines if x.waiting and x.kind == "lock"]
        asked = (self._store.explain(name) for name in awaited)
        return chain(owner, await asyncio.gather(*asked))

    async def release(self, name: str, token: int) -> bool:
        """Take a lock away from whoever holds it with this token; False if nobody does.

        The holder's block is stopped with `LockLostError`. Readers of one phase share a
        token and lose it together. Raises `MissingCapability` where it cannot be done.
        """
        check_name(name, "lock")
        if self._waits is None:
            raise MissingCapability(
                "This backend cannot take a lock away by its token.",
                "Its server knows no tokens, only claims.",
                "On Consul, remove the holder's key: consul kv delete …",
            )
        return await self._waits.end_hold(name, token) > 0
