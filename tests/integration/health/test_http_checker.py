import asyncio

import pytest
from aiohttp import web

from quorate.health.checkers.http import MAX_BODY_BYTES, HTTPHealthChecker
from quorate.verdict.model import Outcome

LIMIT_S = 0.3
GRACE_S = 0.1


@pytest.fixture
async def site():
    """A web service; `site.answer` is what it does."""

    class Site:
        url = ""
        hits = 0
        connections = 0

        async def answer(self, _request):
            return web.Response(text="ok")

        async def handle(self, request):
            self.hits += 1
            return await self.answer(request)

    site = Site()
    app = web.Application()
    app.router.add_get("/{path:.*}", site.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}/health"
    yield site
    await runner.cleanup()


@pytest.fixture
async def check(stopwatch):
    """Runs one look and sees that it ends in time."""
    checkers = []

    async def run(url, expected_status=200, **settings):
        checkers.append(
            HTTPHealthChecker(url, expected_status, timeout_s=LIMIT_S, **settings)
        )
        with stopwatch:
            result = await checkers[-1].check()
        assert stopwatch.took_s <= LIMIT_S + GRACE_S
        return result

    yield run
    for checker in checkers:
        await checker.close()


async def test_the_expected_status_is_a_success(site, check):
    result = await check(site.url)

    assert (result.outcome, result.message) == (Outcome.SUCCESS, "answered 200")
    assert result.details == {"status": "200"}


@pytest.mark.parametrize(
    ("status", "expected", "outcome"),
    [
        (500, 200, Outcome.FAILURE),
        (404, 200, Outcome.FAILURE),
        (204, 200, Outcome.FAILURE),
        (204, {200, 204}, Outcome.SUCCESS),
        (503, 503, Outcome.SUCCESS),
        (429, 200, Outcome.WARNING),
        (429, 429, Outcome.SUCCESS),
    ],
)
async def test_the_status_decides(site, check, status, expected, outcome):
    async def answer(_request):
        return web.Response(status=status)

    site.answer = answer

    assert (await check(site.url, expected)).outcome is outcome


async def test_a_redirect_is_an_answer_and_is_not_followed(site, check):
    async def answer(_request):
        raise web.HTTPFound("/elsewhere")

    site.answer = answer

    result = await check(site.url)

    assert result.message == "answered 302 instead of 200"
    assert site.hits == 1


async def test_somebody_else_at_the_address_is_down_at_once(site, check):
    async def answer(_request):
        return web.Response(headers={"X-Service": "orders"})

    site.answer = answer

    other = await check(site.url, identity=("X-Service", "reports"))
    same = await check(site.url, identity=("X-Service", "orders"))

    assert other.outcome is Outcome.DOWN
    assert "'orders', not 'reports'" in other.message
    assert same.outcome is Outcome.SUCCESS


async def test_a_refused_connection_fails_at_once(check, closed_port, stopwatch):
    result = await check(f"http://127.0.0.1:{closed_port}/")

    assert result.outcome is Outcome.FAILURE
    assert "ClientConnectorError" in result.message
    assert stopwatch.took_s < LIMIT_S


async def test_a_black_hole_fails_in_time(check, black_hole):
    result = await check(f"http://127.0.0.1:{black_hole}/")

    assert (result.outcome, result.message) == (
        Outcome.FAILURE,
        "no answer within 0.3 s",
    )


async def test_a_slow_service_fails_in_time(site, check):
    async def answer(_request):
        await asyncio.Event().wait()

    site.answer = answer

    assert (await check(site.url)).message == "no answer within 0.3 s"


@pytest.mark.parametrize(
    "beginning",
    [
        b"HTTP/1.1 200 O",
        b"HTTP/1.1 200 OK\r\nX-Drip: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n",
    ],
)
async def test_an_answer_that_drips_fails_in_time(serve, check, beginning):
    """Every single byte comes quickly; the whole would take minutes."""

    async def drip(_reader, writer):
        writer.write(beginning)
        for _ in range(9999):
            await asyncio.sleep(0.02)
            writer.write(b"x")
            await writer.drain()

    port = await serve(drip)

    result = await check(f"http://127.0.0.1:{port}/")

    assert (result.outcome, result.message) == (
        Outcome.FAILURE,
        "no answer within 0.3 s",
    )


async def test_of_an_endless_answer_only_so_much_is_read(serve, check):
    sent = [0]

    async def flood(_reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(100_000):
            writer.write(b"x" * 65_536)
            sent[0] += 65_536
            await writer.drain()

    port = await serve(flood)

    result = await check(f"http://127.0.0.1:{port}/")

    assert result.outcome is Outcome.SUCCESS
    assert sent[0] < 200 * MAX_BODY_BYTES


@pytest.mark.parametrize(
    "garbage",
    [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00\xff" * 50, b""],
)
async def test_what_is_no_web_service_fails(serve, check, garbage):
    async def answer(_reader, writer):
        writer.write(garbage)

    port = await serve(answer)

    assert (await check(f"http://127.0.0.1:{port}/")).outcome is Outcome.FAILURE


async def test_an_error_does_not_repeat_the_address(serve, check):
    async def answer(_reader, writer):
        writer.write(b"SSH-2.0-OpenSSH\r\n")

    port = await serve(answer)

    result = await check(f"http://127.0.0.1:{port}/?token=secret")

    assert result.message == "ClientResponseError: the answer is not HTTP"


async def test_a_decompression_bomb_is_not_unpacked(serve, check):
    async def answer(_reader, writer):
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
            b"Content-Length: 4\r\n\r\nbomb"
        )

    port = await serve(answer)

    assert (await check(f"http://127.0.0.1:{port}/")).outcome is Outcome.SUCCESS


async def test_the_connection_is_kept_between_looks(site):
    seen = set()

    async def answer(request):
        seen.add(request.transport.get_extra_info("peername"))
        return web.Response(text="ok")

    site.answer = answer
    checker = HTTPHealthChecker(site.url, timeout_s=LIMIT_S)

    for _ in range(5):
        assert (await checker.check()).outcome is Outcome.SUCCESS
    await checker.close()
    await checker.close()

    assert len(seen) == 1


async def test_after_a_failure_the_next_look_is_a_fresh_one(serve, closed_port):
    """The service behind the same checker dies, hangs up, and comes back."""
    mood = ["hang up"]

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        if mood[0] == "fine":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()

    port = await serve(answer)
    checker = HTTPHealthChecker(f"http://127.0.0.1:{port}/", timeout_s=LIMIT_S)

    first = await checker.check()
    mood[0] = "fine"
    second = await checker.check()
    await checker.close()

    assert first.outcome is Outcome.FAILURE
    assert second.outcome is Outcome.SUCCESS
