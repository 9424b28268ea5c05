"""Bugs of locks, planted on purpose in a process: the runs have to catch each.

A bug in Lua is a line made wrong; a bug in Python a method made wrong. Where the house
has several guards for one thing, a bug takes all of them away: each alone hides that
the others are gone.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.faults.bugs import Bug, by_name, make_wrong

from quorate.lease.lease import Lease
from quorate.lease.session import Membership, Session
from quorate.locks import redis as redis_locks
from quorate.locks.bid import Bid
from quorate.locks.desk import LockDesk
from quorate.locks.lock import Hold
from quorate.locks.redis import RedisLocks
from quorate.locks.returning import Returns
from quorate.locks.waiting import Bids
from quorate.locks.wish import Wish
from quorate.wire import sessions as redis_sessions


def _locks(right: str, wrong: str) -> None:
    make_wrong(redis_locks, ("_ACQUIRE", "_LEAVE", "_CLEAN"), right, wrong)


def release_without_owner_check() -> None:
    """Giving back a lock that is not ours takes it from whose it is."""
    _locks(
        "  if record then\n    redis.call('SREM', claims(fields(record)[4])",
        "  if mode and not record then\n    local f = redis.call('HGET', key, 'f')\n"
        "    redis.call('DEL', key) redis.call('HSET', key, 'f', f)\n"
        "    settle(name, false, mode)\n  end\n"
        "  if record then\n    redis.call('SREM', claims(fields(record)[4])",
    )


def renewal_that_revives() -> None:
    """The server renews what has ended, and the process trusts whatever is renewed:
    neither its own clock, nor a refusal, nor the news that its claims were cleaned."""
    _locks("tell(is[4], 'lost', name, id)", "")
    _locks("tell(session, 'lost', name, id)", "")
    make_wrong(
        redis_sessions,
        ("_RENEW",),
        "if ends and tonumber(ends) > now then",
        "if true then",
    )

    def renewed(self: Session, member: Membership, asked_at: float) -> None:
        mine = self._members.get(member.tag)
        if mine is not None:
            lease = mine.lease.renewed(asked_at)
            self._members[member.tag] = replace(mine, lease=lease)

    # The process asks nobody but its renewals whether it lives.
    RedisLocks._session_is_over = lambda *_: None  # type: ignore[method-assign]
    Session.renewed = renewed  # type: ignore[method-assign]
    Lease.is_trusted = lambda *_: True  # type: ignore[method-assign]
    Lease.left_s = lambda lease, _: lease.ttl_s  # type: ignore[method-assign,assignment]


def no_check_after_waiting() -> None:
    """Who wakes up from waiting believes the grant, however old (etcd#11456)."""

    def take(self: Bids, bid: Bid, wish: Wish) -> Hold | None:
        self._bids.pop(bid.ask.id, None)
        if bid.granted is None:
            return None
        return Hold(bid.ask.id, wish, bid.granted, self._parts.session)

    Bids.take = take  # type: ignore[method-assign]
    Bids.session_lost = lambda *_: None  # type: ignore[method-assign]


def tokens_by_counter() -> None:
    """The next token is the last one plus one; a server that forgets begins anew."""
    _locks("token = math.max(token + 1, micros)", "token = token + 1")


def tokens_by_counter_of_a_replica() -> None:
    """The same: a replica that takes over has not seen the last ones."""
    tokens_by_counter()


def grant_to_the_dead() -> None:
    """Nobody looks whether the session that asks is alive."""
    _locks("if not ends or tonumber(ends) <= now then\n  return {'dead', now}\nend", "")


def cancellation_swallowed() -> None:
    """A cancelled acquire tries again instead of letting the cancellation through."""
    take = LockDesk.take

    async def stubborn(self: LockDesk, wish: Wish, task: asyncio.Task[object]) -> Hold:
        try:
            return await take(self, wish, task)
        except asyncio.CancelledError:
            return await take(self, wish, task)

    LockDesk.take = stubborn  # type: ignore[method-assign]


def unanswered_counts_as_failed() -> None:
    """Whoever gives up a request believes that nothing has come of it."""
    Returns.soon = lambda *_: None  # type: ignore[method-assign]


def permits_uncounted() -> None:
    """A semaphore that lets in whoever asks."""
    make_wrong(
        redis_locks,
        ("_TAKE_PERMITS",),
        "local fits = tonumber(found[2] or '0') + weight",
        "local fits = 0 + weight",
    )


def writers_among_readers() -> None:
    """A writer is let in where readers are, if nobody waits before it."""
    _locks("(held == 's' and mode == 's'\n", "(held == 's'\n")


BUGS = by_name(
    Bug("release without a check of the owner", release_without_owner_check, "L2"),
    Bug("a renewal that revives a dead session", renewal_that_revives, "L3"),
    Bug("no check after waiting", no_check_after_waiting, "L3"),
    Bug("tokens by a counter alone, counter lost", tokens_by_counter, "L5 none"),
    Bug("a grant to a dead session", grant_to_the_dead, "L7 ends"),
    Bug("CancelledError swallowed in acquire", cancellation_swallowed, "L9"),
    Bug(
        "tokens by a counter, and a failover",
        tokens_by_counter_of_a_replica,
        "L6 default",
    ),
    Bug("no answer taken for a no", unanswered_counts_as_failed, "L8"),
    Bug("a semaphore that does not count", permits_uncounted, "L11 semaphore"),
    Bug("a writer let in among readers", writers_among_readers, "L11 readers"),
)


def plant(name: str) -> None:
    """Make this process wrong, for the rest of its life."""
    BUGS[name].plant()
