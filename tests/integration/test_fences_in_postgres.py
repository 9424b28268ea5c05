"""The recipe of docs/locks.md for one's own tables, word for word, on PostgreSQL."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import psycopg
import pytest

from quorate.locks.door import get_lock_manager
from quorate.locks.manager import LockManager

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "locks.md"
(RECIPE,) = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
TABLE, FENCE = (text.strip() for text in RECIPE.split(";\n") if text.strip())
FENCE = FENCE.removesuffix(";")
WRITE = "UPDATE accounts SET balance = %s"
Database = psycopg.AsyncConnection


@pytest.fixture
def accounts(postgres_url: str, namespace: str) -> Iterator[str]:
    """An address whose tables are those of this test alone."""
    schema = namespace.replace("-", "_")
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"CREATE SCHEMA {schema}")
        admin.execute(f"SET search_path = {schema}")
        admin.execute(TABLE)
        admin.execute("CREATE TABLE accounts (balance INTEGER)")
        admin.execute("INSERT INTO accounts VALUES (1)")
    yield f"{postgres_url}?options=-csearch_path%3D{schema}"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture
async def locks(private_server, namespace: str) -> AsyncIterator[LockManager]:
    async with await get_lock_manager(
        private_server.url, namespace=namespace
    ) as manager:
        yield manager


async def token_of(locks: LockManager) -> int:
    async with locks.acquire_lock("user:42") as grant:
        return grant.token


async def write(database: Database, token: int, balance: int) -> bool:
    """Both statements in one transaction; False if the fence refused."""
    async with database.transaction() as all_of_it:
        if not await fence(database, token):
            raise psycopg.Rollback(all_of_it)
        await database.execute(WRITE, (balance,))
        return True
    return False


async def fence(database: Database, token: int) -> bool:
    filled = FENCE.replace("65", str(token))
    return (await database.execute(filled)).rowcount == 1


async def balance_in(address: str) -> int:
    async with await Database.connect(address) as database:
        found = await (
            await database.execute("SELECT balance FROM accounts")
        ).fetchone()
        return cast(int, found[0]) if found else 0


async def is_kept_waiting(address: str) -> None:
    async with (
        asyncio.timeout(5),
        await Database.connect(address, autocommit=True) as database,
    ):
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while (await (await database.execute(waiting)).fetchone()) == (0,):
            await asyncio.sleep(0.005)


async def test_a_paused_holder_that_wakes_up_changes_nothing(accounts, locks):
    old, new = await token_of(locks), await token_of(locks)
    async with await Database.connect(accounts) as database:
        assert await write(database, old, 10)
        assert await write(database, new, 20)
        assert await write(database, new, 21)

        assert not await write(database, old, 30)

    assert await balance_in(accounts) == 21


async def test_it_waits_for_a_later_holder_in_the_middle_of_its_write(accounts, locks):
    old, new = await token_of(locks), await token_of(locks)
    async with (
        await Database.connect(accounts) as late,
        await Database.connect(accounts) as early,
    ):
        async with late.transaction():
            assert await fence(late, new)
            waking = asyncio.ensure_future(write(early, old, 30))
            await is_kept_waiting(accounts)
            await late.execute(WRITE, (20,))

        assert not await waking

    assert await balance_in(accounts) == 20


async def test_a_later_holder_that_took_its_write_back_refuses_nobody(accounts, locks):
    old, new = await token_of(locks), await token_of(locks)
    async with await Database.connect(accounts) as database:
        async with database.transaction() as all_of_it:
            assert await fence(database, new)
            raise psycopg.Rollback(all_of_it)

        assert await write(database, old, 30)

    assert await balance_in(accounts) == 30
