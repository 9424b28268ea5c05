"""A store that opens late is opened once, and tried again when it did not."""

from __future__ import annotations

import asyncio

import pytest

from quorate.config.late import LateStore
from quorate.config.model import Cursor, Draft, Write
from quorate.core.errors import StoreUnavailable


async def test_it_is_opened_once_by_all_who_need_it(store):
    opened = 0

    async def open_store():
        nonlocal opened
        opened += 1
        await asyncio.sleep(0)
        return store

    late = LateStore(open_store)
    await asyncio.gather(*(late.snapshot() for _ in range(5)))

    assert await late.commit(Draft("id", (Write("a", 1),))) == 1
    assert (await late.changes(Cursor("row"))).commits
    assert await late.history("a", 1)
    undo = await late.hear(print)
    undo()
    assert opened == 1

    await late.close()
    await late.close()
    assert store.closed == 1


async def test_a_failed_opening_is_tried_again(store):
    tries = 0

    async def open_store():
        nonlocal tries
        tries += 1
        if tries == 1:
            raise StoreUnavailable("not yet")
        return store

    late = LateStore(open_store)
    with pytest.raises(StoreUnavailable):
        await late.snapshot()

    assert (await late.snapshot()).cursor.epoch == "row"
