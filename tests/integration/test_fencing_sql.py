"""The recipe of docs/fencing-sql.md, as it stands there, on a real PostgreSQL."""

from __future__ import annotations

import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.contract.lock_place import Place, until

from quorate.core.errors import LockLostError, StaleTokenError
from quorate.core.fence import Fence
from quorate.testing.heard import Heard

PAGE = Path(__file__).parents[2] / "docs" / "fencing-sql.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
ACCOUNT, UPDATE, FENCES, FENCE = (text for kind, text in BLOCKS if kind == "sql")
[PYTHON] = (text for kind, text in BLOCKS if kind == "python")

SET = "UPDATE account SET balance = %(balance)s WHERE id = %(id)s"
WITHOUT_WHERE = {
    "column": UPDATE.replace(" AND fence <= %(token)s", ""),
    "table": FENCE.replace("WHERE fence.token <= EXCLUDED.token", ""),
}


@dataclass(frozen=True, slots=True)
class Proof:
    """As much of a grant as a database needs."""

    name: str
    token: int

    @property
    def fence(self) -> Fence:
        return Fence(self.name, self.token, "s", "t")


Write = Callable[[psycopg.Connection, Any, int], None]


def by_column(connection: psycopg.Connection, grant: Proof, balance: int) -> None:
    values = {"balance": balance, "id": "42", "token": grant.token}
    with connection.transaction():
        if connection.execute(UPDATE, values).rowcount != 1:
            raise StaleTokenError("a later holder has written already")


def by_table(connection: psycopg.Connection, grant: Proof, balance: int) -> None:
    room: dict[str, Any] = {}
    exec(PYTHON, room)
    assert " ".join(room["FENCE"].split()) == " ".join(FENCE.split())
    values = {"balance": balance, "id": "42"}
    room["write_fenced"](connection, grant, SET, values)


WRITES = pytest.mark.parametrize("write", [by_column, by_table])


@pytest.fixture
def connect(postgres_url: str) -> Iterator[Callable[[], psycopg.Connection]]:
    """Connections to a schema of this test's own."""
    opened: list[psycopg.Connection] = []

    def connect() -> psycopg.Connection:
        connection = psycopg.connect(postgres_url, autocommit=True)
        connection.execute("SET search_path TO fencing")
        opened.append(connection)
        return connection

    with psycopg.connect(postgres_url, autocommit=True) as first:
        first.execute("CREATE SCHEMA fencing")
        first.execute("SET search_path TO fencing")
        first.execute(ACCOUNT)
        first.execute(FENCES)
        first.execute("INSERT INTO account (id, balance) VALUES ('42', 0)")
        yield connect
        for connection in opened:
            connection.close()
        first.execute("DROP SCHEMA fencing CASCADE")


def balance(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT balance FROM account WHERE id = '42'").fetchone()
    assert row is not None
    return int(row[0])


@WRITES
def test_a_stale_write_is_refused_and_the_same_holder_may_write_twice(
    connect: Callable[[], psycopg.Connection], write: Write
) -> None:
    database = connect()
    earlier, later = Proof("user:42", 2**51), Proof("user:42", 2**51 + 32)

    write(database, earlier, 1)
    write(database, later, 10)
    write(database, later, 11)
    with pytest.raises(StaleTokenError):
        write(database, earlier, 2)

    assert balance(database) == 11


@pytest.mark.parametrize("kind", sorted(WITHOUT_WHERE))
def test_without_its_condition_the_statement_takes_what_is_stale(
    connect: Callable[[], psycopg.Connection], kind: str
) -> None:
    """The planted bug."""
    database = connect()
    statement = WITHOUT_WHERE[kind]
    assert statement not in (UPDATE, FENCE)

    taken = [
        database.execute(
            statement,
            {"name": "user:42", "id": "42", "balance": token, "token": token},
        ).rowcount
        for token in (2, 1)
    ]

    assert taken == [1, 1]
    if kind == "column":
        assert balance(database) == 1


@WRITES
def test_who_comes_while_a_later_holder_writes_waits_and_is_refused(
    connect: Callable[[], psycopg.Connection], write: Write
) -> None:
    slow, other, looking = connect(), connect(), connect()
    refused: list[BaseException] = []

    def write_stale() -> None:
        try:
            write(other, Proof("user:42", 1), 1)
        except StaleTokenError as error:
            refused.append(error)

    with slow.transaction():
        write(slow, Proof("user:42", 2), 2)
        stale = threading.Thread(target=write_stale)
        stale.start()
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while looking.execute(waits).fetchone() is None:
            assert stale.is_alive()
    stale.join(5)

    assert [type(error) for error in refused] == [StaleTokenError]
    assert balance(looking) == 2


def test_what_came_before_the_refusal_is_undone_with_it(
    connect: Callable[[], psycopg.Connection],
) -> None:
    database = connect()
    by_table(database, Proof("user:42", 9), 9)

    with pytest.raises(StaleTokenError), database.transaction():
        database.execute("INSERT INTO account (id, balance) VALUES ('43', 1)")
        by_table(database, Proof("user:42", 1), 1)

    assert database.execute("SELECT count(*) FROM account").fetchone() == (1,)


@pytest.fixture
async def place(namespace: str) -> AsyncIterator[Place]:
    place = Place(f"memory://{namespace}", namespace)
    yield place
    await place.close()


async def test_a_holder_that_has_lost_its_lock_unknowingly_cannot_write(
    connect: Callable[[], psycopg.Connection], place: Place, heard: Heard
) -> None:
    """The whole story, with grants of two processes."""
    database = connect()
    first, second = await place.process(), await place.process()

    async def take_over() -> None:
        async with second.locks.acquire_lock("user:42") as later:
            by_table(database, later, 2)  # type: ignore[arg-type]

    with pytest.raises(LockLostError):
        async with first.locks.acquire_lock("user:42", on_loss="flag") as grant:
            by_table(database, grant, 1)  # type: ignore[arg-type]
            await first.dies_on_the_server()
            await take_over()
            with pytest.raises(StaleTokenError, match="A later holder of 'user:42'"):
                by_table(database, grant, 3)  # type: ignore[arg-type]
            await until(lambda: grant.is_lost)

    assert balance(database) == 2
