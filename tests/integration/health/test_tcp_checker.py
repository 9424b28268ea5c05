import asyncio

import pytest

from quorate.health.checkers.tcp import TCPHealthChecker
from quorate.verdict.model import Outcome

LIMIT_S = 0.2
GRACE_S = 0.1


@pytest.fixture
def check(stopwatch):
    async def run(port, **settings):
        checker = TCPHealthChecker("127.0.0.1", port, timeout_s=LIMIT_S, **settings)
        with stopwatch:
            result = await checker.check()
        assert stopwatch.took_s <= LIMIT_S + GRACE_S
        return result

    return run


async def test_what_listens_is_well(black_hole, check):
    result = await check(black_hole)

    assert (result.outcome, result.message) == (Outcome.SUCCESS, "it listens")


async def test_where_nobody_listens_it_fails_at_once(closed_port, check):
    result = await check(closed_port)

    assert result.outcome is Outcome.FAILURE
    assert "ConnectionRefusedError" in result.message


async def test_the_answer_must_be_the_expected_one(serve, check):
    async def answer(reader, writer):
        word = await reader.readexactly(4)
        writer.write(b"+PONG\r\n" if word == b"PING" else b"-ERR\r\n")
        await writer.drain()

    port = await serve(answer)

    right = await check(port, send=b"PING", expect=b"+PONG")
    wrong = await check(port, send=b"PUNG", expect=b"+PONG")

    assert right.outcome is Outcome.SUCCESS
    assert wrong.message == "it answered something else than expected"


async def test_who_hangs_up_fails(serve, check):
    async def hang_up(_reader, writer):
        writer.write(b"+P")

    port = await serve(hang_up)

    result = await check(port, expect=b"+PONG")

    assert result.message == "it hung up before it had answered"


async def test_who_never_answers_fails_in_time(black_hole, check):
    result = await check(black_hole, send=b"PING", expect=b"+PONG")

    assert result.message == "no answer within 0.2 s"


async def test_who_drips_fails_in_time(serve, check):
    async def drip(_reader, writer):
        for byte in b"+PONG" * 100:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    port = await serve(drip)

    result = await check(port, expect=b"+PONG" * 100)

    assert result.message == "no answer within 0.2 s"


async def test_a_thousand_looks_leave_nothing_behind(serve, back_to):
    open_now = [0]

    async def hold(reader, _writer):
        open_now[0] += 1
        try:
            await reader.read()
        finally:
            open_now[0] -= 1

    port = await serve(hold)
    checker = TCPHealthChecker("127.0.0.1", port)
    tasks_before = len(asyncio.all_tasks())

    for _ in range(1000):
        assert (await checker.check()).outcome is Outcome.SUCCESS

    assert await back_to(tasks_before)
    assert open_now == [0]
