"""Against a small server that speaks just enough of PostgreSQL's protocol."""

import asyncio
import struct

import pytest

from quorate.health.checkers.database import DatabaseHealthChecker
from quorate.verdict.model import Outcome

LIMIT_S = 0.3
GRACE_S = 0.1


def message(kind, body=b""):
    return kind + struct.pack(">I", len(body) + 4) + body


READY = message(b"Z", b"I")
HELLO = (
    message(b"R", struct.pack(">I", 0))
    + message(b"S", b"client_encoding\0UTF8\0")
    + message(b"S", b"server_version\x0016.0\0")
    + message(b"K", struct.pack(">II", 1, 2))
    + READY
)
COLUMN = b"?\0" + struct.pack(">IhIhih", 0, 0, 23, 4, -1, 0)


def row(value):
    return (
        message(b"T", struct.pack(">h", 1) + COLUMN)
        + message(b"D", struct.pack(">hi", 1, len(value)) + value)
        + message(b"C", b"SELECT 1\0")
        + READY
    )


class Postgres:
    """`mood` is what it does with a query."""

    def __init__(self):
        self.mood = "answer"
        self.connections = 0

    async def serve(self, reader, writer):
        (size,) = struct.unpack(">I", await reader.readexactly(4))
        (code,) = struct.unpack(">I", (await reader.readexactly(size - 4))[:4])
        if code == 80877102:  # asks to cancel a query: never answered
            return
        if code in (80877103, 80877104):  # asks for TLS or GSS: not here
            writer.write(b"N")
            await self.serve(reader, writer)
            return
        self.connections += 1
        if self.mood == "silent from the start":
            await reader.read()
            return
        writer.write(HELLO)
        while True:
            await reader.readexactly(1)
            (size,) = struct.unpack(">I", await reader.readexactly(4))
            await reader.readexactly(size - 4)
            if self.mood == "answer":
                writer.write(row(b"1"))
            elif self.mood == "two":
                writer.write(row(b"2"))
            elif self.mood == "error":
                fields = b"SERROR\0C57P03\0Mthe database is starting up\0\0"
                writer.write(message(b"E", fields) + READY)
            elif self.mood == "hang up":
                return


@pytest.fixture
def postgres():
    return Postgres()


@pytest.fixture
async def checker(serve, postgres):
    port = await serve(postgres.serve)
    checker = DatabaseHealthChecker(
        f"postgresql://user:secret@127.0.0.1:{port}/db?gssencmode=disable",
        timeout_s=LIMIT_S,
    )
    yield checker
    await checker.close()


async def test_a_database_that_answers_is_well(checker):
    result = await checker.check()

    assert (result.outcome, result.message) == (Outcome.SUCCESS, "answered")


async def test_the_connection_is_kept_between_looks(checker, postgres):
    for _ in range(5):
        assert (await checker.check()).outcome is Outcome.SUCCESS

    assert postgres.connections == 1


@pytest.mark.parametrize(
    ("mood", "words"),
    [
        ("error", "the database is starting up"),
        ("hang up", "OperationalError"),
        ("two", "something else than 1"),
    ],
)
async def test_a_database_in_trouble_fails_and_says_why(checker, postgres, mood, words):
    postgres.mood = mood

    result = await checker.check()

    assert result.outcome is Outcome.FAILURE
    assert words in result.message
    assert "secret" not in result.message


@pytest.mark.parametrize("mood", ["silent", "silent from the start"])
async def test_a_database_that_does_not_answer_fails_in_time(
    checker, postgres, mood, stopwatch
):
    postgres.mood = mood

    with stopwatch:
        result = await checker.check()

    assert result.message == "no answer within 0.3 s"
    assert stopwatch.took_s <= LIMIT_S + GRACE_S


async def test_one_that_falls_silent_later_fails_in_time_and_is_well_again(
    checker, postgres, stopwatch
):
    await checker.check()
    postgres.mood = "silent"

    with stopwatch:
        late = await checker.check()
    postgres.mood = "answer"
    after = await checker.check()

    assert late.message == "no answer within 0.3 s"
    assert stopwatch.took_s <= LIMIT_S + GRACE_S
    assert after.outcome is Outcome.SUCCESS


async def test_a_black_hole_fails_in_time(black_hole, stopwatch):
    url = f"postgresql://127.0.0.1:{black_hole}/db"
    checker = DatabaseHealthChecker(url, timeout_s=LIMIT_S)

    with stopwatch:
        result = await checker.check()

    assert result.outcome is Outcome.FAILURE
    assert stopwatch.took_s <= LIMIT_S + GRACE_S


async def test_a_refused_connection_fails(closed_port):
    checker = DatabaseHealthChecker(f"postgresql://127.0.0.1:{closed_port}/db")

    assert (await checker.check()).outcome is Outcome.FAILURE


async def test_a_look_that_is_cancelled_stops_in_time(checker, postgres, stopwatch):
    await checker.check()
    postgres.mood = "silent"
    look = asyncio.ensure_future(checker.check())
    await asyncio.sleep(0)

    with stopwatch:
        look.cancel()
        await asyncio.wait([look], timeout=5.0)
    postgres.mood = "answer"

    assert look.cancelled()
    assert stopwatch.took_s <= GRACE_S
    assert (await checker.check()).outcome is Outcome.SUCCESS


async def test_looks_leave_no_task_behind(checker, postgres, back_to):
    before = len(asyncio.all_tasks())
    for mood in ("answer", "error", "silent", "answer", "hang up", "answer"):
        postgres.mood = mood
        await checker.check()
    await checker.close()

    assert len(checker._tasks) == 0
    assert await back_to(before)
