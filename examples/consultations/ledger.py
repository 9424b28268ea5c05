"""Where results are written: an SQL table that refuses a stale token.

The recipe works in every SQL database. `fences` keeps the highest token that has ever
written for a patient; a write with a lower one comes from a holder that has been
overtaken and is refused, in the same transaction. The primary key makes a repeated
delivery harmless. `runs` has one row for each attempt, so that duplicates show.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from quorate.core.errors import StaleTokenError

T = TypeVar("T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS fences (user_id TEXT PRIMARY KEY, token INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS results (
    request_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, urgency TEXT NOT NULL,
    token INTEGER NOT NULL, attempt INTEGER NOT NULL, worker TEXT NOT NULL,
    lock_wait_s REAL NOT NULL, from_cache INTEGER NOT NULL, instance TEXT NOT NULL,
    answer TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS runs (
    request_id TEXT NOT NULL, attempt INTEGER NOT NULL, worker TEXT NOT NULL,
    outcome TEXT NOT NULL, at REAL NOT NULL);
"""


class Ledger:
    """The table of results in one SQLite file, shared by all processes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def create(self) -> None:
        """Make the tables."""
        await self._do(lambda db: db.executescript(SCHEMA))

    async def write(self, row: dict[str, object]) -> bool:
        """Write a result under its token; False if it is there already.

        Raises `StaleTokenError` when a later holder has written for this patient.
        """

        def transaction(db: sqlite3.Connection) -> bool:
            db.execute("BEGIN IMMEDIATE")
            fenced = db.execute(
                "INSERT INTO fences VALUES (:user_id, :token) ON CONFLICT (user_id)"
                " DO UPDATE SET token = excluded.token"
                " WHERE fences.token <= excluded.token",
                row,
            )
            if fenced.rowcount == 0:
                db.execute("ROLLBACK")
                raise StaleTokenError(
                    f"The result of {row['request_id']} was refused.",
                    f"A later holder has written for {row['user_id']} already.",
                )
            written = db.execute(
                "INSERT INTO results VALUES (:request_id, :user_id, :urgency, :token,"
                " :attempt, :worker, :lock_wait_s, :from_cache, :instance, :answer,"
                " :at) ON CONFLICT (request_id) DO NOTHING",
                {**row, "at": time.time()},
            )
            db.execute("COMMIT")
            return written.rowcount == 1

        return await self._do(transaction)

    async def ran(
        self, request_id: str, attempt: int, worker: str, outcome: str
    ) -> None:
        """Note that an attempt was made and how it ended."""
        values = (request_id, attempt, worker, outcome, time.time())
        await self._do(
            lambda db: db.execute("INSERT INTO runs VALUES (?,?,?,?,?)", values)
        )

    async def count(self) -> int:
        """How many results there are."""
        return await self._do(
            lambda db: int(db.execute("SELECT count(*) FROM results").fetchone()[0])
        )

    async def results(self) -> list[dict[str, object]]:
        """Every result, oldest first."""
        return await self._rows("SELECT * FROM results ORDER BY at")

    async def runs(self) -> list[dict[str, object]]:
        """Every attempt, oldest first."""
        return await self._rows("SELECT * FROM runs ORDER BY at")

    async def _rows(self, query: str) -> list[dict[str, object]]:
        def read(db: sqlite3.Connection) -> list[dict[str, object]]:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(query)]

        return await self._do(read)

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.to_thread(self._with_connection, work)

    def _with_connection(self, work: Callable[[sqlite3.Connection], T]) -> T:
        db = sqlite3.connect(self._path, timeout=10.0, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            return work(db)
        finally:
            db.close()
