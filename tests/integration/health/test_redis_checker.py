import asyncio

import pytest

from quorate.health.checkers.redis import RedisHealthChecker
from quorate.verdict.model import Outcome

LIMIT_S = 0.3
GRACE_S = 0.1


@pytest.fixture
async def check(stopwatch):
    checkers = []

    async def run(url, **settings):
        checkers.append(RedisHealthChecker(url, timeout_s=LIMIT_S, **settings))
        with stopwatch:
            result = await checkers[-1].check()
        assert stopwatch.took_s <= LIMIT_S + GRACE_S
        return result

    yield run
    for checker in checkers:
        await checker.close()


async def test_a_server_that_answers_is_well(server, check):
    result = await check(server.url)

    assert (result.outcome, result.message) == (Outcome.SUCCESS, "answered")


async def test_its_role_may_be_asked_for(server, check):
    right = await check(server.url, expect_role="master")
    wrong = await check(server.url, expect_role="slave")

    assert right.details == {"role": "master"}
    assert (wrong.outcome, wrong.message) == (
        Outcome.FAILURE,
        "its role is master, not slave",
    )


async def test_a_wrong_password_fails_and_is_not_shown(start_server, check):
    server = start_server("valkey", password="right")
    url = server.url.replace("right", "wrong")

    result = await check(url)

    assert result.outcome is Outcome.FAILURE
    assert "wrong" not in result.message


async def test_the_connection_is_kept_between_looks(private_server):
    checker = RedisHealthChecker(private_server.url, timeout_s=LIMIT_S)
    for _ in range(10):
        assert (await checker.check()).outcome is Outcome.SUCCESS
    opened = private_server.info()["total_connections_received"]

    for _ in range(10):
        assert (await checker.check()).outcome is Outcome.SUCCESS
    await checker.close()

    assert private_server.info()["total_connections_received"] == opened


async def test_a_server_that_dies_fails_and_that_comes_back_is_well(private_server):
    checker = RedisHealthChecker(private_server.url, timeout_s=LIMIT_S)
    first = await checker.check()
    private_server.kill()
    second = await checker.check()
    await private_server.restart()

    third = await checker.check()
    await checker.close()

    assert [r.outcome.value for r in (first, second, third)] == [
        "success",
        "failure",
        "success",
    ]


async def test_a_server_that_is_stopped_fails_in_time(private_server, stopwatch):
    checker = RedisHealthChecker(private_server.url, timeout_s=LIMIT_S)
    await checker.check()
    private_server.pause()

    with stopwatch:
        result = await checker.check()
    private_server.resume()
    after = await checker.check()
    await checker.close()

    assert result.message == "no answer within 0.3 s"
    assert stopwatch.took_s <= LIMIT_S + GRACE_S
    assert after.outcome is Outcome.SUCCESS


async def test_a_black_hole_fails_in_time(black_hole, check):
    result = await check(f"redis://127.0.0.1:{black_hole}")

    assert result.message == "no answer within 0.3 s"


async def test_a_refused_connection_fails(closed_port, check):
    result = await check(f"redis://127.0.0.1:{closed_port}")

    assert result.outcome is Outcome.FAILURE


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad\r\n\r\n", b"\x00" * 99, b""])
async def test_what_is_no_redis_server_fails(serve, check, garbage):
    async def answer(reader, writer):
        await reader.read(10)
        writer.write(garbage)
        await writer.drain()

    port = await serve(answer)

    assert (await check(f"redis://127.0.0.1:{port}")).outcome is Outcome.FAILURE


async def test_a_look_that_is_cancelled_leaves_no_half_read_answer(private_server):
    checker = RedisHealthChecker(private_server.url, timeout_s=5.0)
    await checker.check()
    private_server.pause()
    look = asyncio.ensure_future(checker.check())
    await asyncio.sleep(0)

    look.cancel()
    await asyncio.wait([look], timeout=1.0)
    private_server.resume()
    after = await checker.check()
    await checker.close()

    assert look.cancelled()
    assert after.outcome is Outcome.SUCCESS
