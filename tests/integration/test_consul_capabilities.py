"""What locks on Consul do not offer is refused clearly, and nothing is left of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from quorate.backend import Backend
from quorate.core.errors import MissingCapability
from quorate.lease.lease import LeaseTerms
from quorate.locks.manager import LockManager
from quorate.locks.model import LockConfig, LockType

LONG = LeaseTerms(ttl_s=30.0, renew_every_s=10.0, retry_every_s=1.0)


async def upgraded(locks: LockManager) -> None:
    async with locks.acquire_lock("a", LockType.SHARED) as grant:
        await grant.upgrade()


async def downgraded(locks: LockManager) -> None:
    async with locks.acquire_lock("a") as grant:
        await grant.downgrade()


async def preferred(locks: LockManager) -> None:
    async with locks.acquire_lock("a", priority=1):
        pytest.fail("it was let in")


async def confirmed(locks: LockManager) -> None:
    async with locks.acquire_lock("a", replicas=1):
        pytest.fail("it was let in")


async def counted(locks: LockManager) -> None:
    locks.semaphore("s", 3)


async def elected(locks: LockManager) -> None:
    locks.election("e")


async def latched(locks: LockManager) -> None:
    locks.latch("l", 2)


async def met(locks: LockManager) -> None:
    locks.barrier("b", 2)


WISHES = (upgraded, downgraded, preferred, confirmed, counted, elected, latched, met)


async def test_what_consul_has_not_is_refused_with_a_way_out(
    consul_url: str, namespace: str
) -> None:
    async with (
        Backend(consul_url, namespace=namespace, terms=LONG) as backend,
        LockManager.over(backend.server, backend.session) as locks,
    ):
        for wish in WISHES:
            await is_refused(wish, locks)

        assert (await locks.explain("a")).is_free


async def is_refused(
    wish: Callable[[LockManager], Awaitable[None]], locks: LockManager
) -> None:
    with pytest.raises(MissingCapability) as refused:
        await wish(locks)
    assert refused.value.what, wish.__name__
    assert refused.value.why, wish.__name__
    assert refused.value.fix, wish.__name__


async def test_there_is_nothing_to_be_strict_about(
    consul_url: str, namespace: str
) -> None:
    async with Backend(consul_url, namespace=namespace, terms=LONG) as backend:
        config = LockConfig(strict=True)
        locks = LockManager.over(backend.server, backend.session, config)

        with pytest.raises(MissingCapability, match="cannot be strict"):
            await locks.start()
        await locks.stop()
