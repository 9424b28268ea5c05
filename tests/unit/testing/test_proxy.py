"""The fault proxy does to a connection what its toxics say, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from quorate.core.errors import InvalidInput
from quorate.testing.proxy import FaultProxy
from quorate.testing.toxics import (
    Bandwidth,
    Down,
    Latency,
    LimitData,
    LoseReply,
    ResetPeer,
    Slicer,
    SlowClose,
    Swallow,
    Toxic,
)

WITHIN_S = 2.0


class Upstream:
    """Answers each line with `+line`; remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[bytes] = []
        self.ended = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                self.told.append(line.strip())
                writer.write(b"+" + line)
                if line == b"bye\r\n":
                    break
        self.ended.set()
        writer.close()


class Client:
    """A connection, asked for one line at a time."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self._port
        )
        return self

    async def ask(self, line: bytes, within_s: float = WITHIN_S) -> bytes:
        self.writer.write(line + b"\r\n")
        return await self.hear(within_s)

    async def hear(self, within_s: float = WITHIN_S) -> bytes:
        async with asyncio.timeout(within_s):
            return (await self.reader.readline()).strip()

    async def is_open(self) -> bool:
        return await self.ask(b"still there") == b"+still there"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    yield upstream
    await upstream.stop()


@pytest.fixture
async def proxy(upstream: Upstream) -> AsyncIterator[FaultProxy]:
    port = await upstream.start()
    proxy = FaultProxy(f"redis://:secret@127.0.0.1:{port}/3", seed=1, redis=True)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[Client]:
    client = await Client(proxy.port).open()
    assert await client.ask(b"hello") == b"+hello"
    yield client
    client.writer.close()


async def test_without_toxics_everything_passes(
    proxy: FaultProxy, client: Client
) -> None:
    big = b"x" * 60_000

    assert await client.ask(big) == b"+" + big
    assert proxy.url == f"redis://:secret@127.0.0.1:{proxy.port}/3"
    stats = proxy.stats()
    assert (stats.connections, stats.open_now) == (1, 1)
    assert stats.bytes_up == 60_000 + 2 + 7
    assert stats.bytes_down == stats.bytes_up + 2


async def test_an_end_passes_in_both_directions(
    upstream: Upstream, client: Client
) -> None:
    assert await client.ask(b"bye") == b"+bye"

    assert await client.hear() == b""


async def test_an_end_of_the_client_reaches_the_server(
    upstream: Upstream, client: Client
) -> None:
    client.writer.close()

    async with asyncio.timeout(WITHIN_S):
        await upstream.ended.wait()


async def test_latency_delays_without_narrowing(
    proxy: FaultProxy, client: Client
) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    async with proxy.poisoned(Latency(latency_s=0.1, jitter_s=0.01)):
        for number in range(20):
            client.writer.write(b"%d\r\n" % number)
            await asyncio.sleep(0)
        answers = [await client.hear() for _ in range(20)]

    assert answers == [b"+%d" % number for number in range(20)]
    assert 0.09 <= loop.time() - began < 1.0


async def test_latency_upwards_delays_the_question(
    upstream: Upstream, proxy: FaultProxy, client: Client
) -> None:
    async with proxy.poisoned(Latency(latency_s=0.05, direction="up")):
        with pytest.raises(TimeoutError):
            await client.ask(b"slow", within_s=0.01)
        assert upstream.told == [b"hello"]
        assert await client.hear() == b"+slow"


async def test_bandwidth_narrows(proxy: FaultProxy, client: Client) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    async with proxy.poisoned(Bandwidth(bytes_per_s=20_000)):
        await client.ask(b"x" * 2_000)

    assert loop.time() - began >= 0.09


async def test_a_slicer_cuts_data_into_pieces(
    proxy: FaultProxy, client: Client
) -> None:
    async with proxy.poisoned(Slicer(size=2, delay_s=0.001)):
        client.writer.write(b"abcdef\r\n")
        first = await client.reader.read(100)

        assert len(first) == 2
        assert first + await client.reader.readline() == b"+abcdef\r\n"


async def test_swallowed_data_never_arrives_and_the_connection_stays(
    upstream: Upstream, proxy: FaultProxy, client: Client
) -> None:
    async with proxy.poisoned(Swallow()):
        with pytest.raises(TimeoutError):
            await client.ask(b"lost", within_s=0.05)

        assert upstream.told == [b"hello", b"lost"]


async def test_after_swallowed_data_the_connection_is_reset(
    proxy: FaultProxy, client: Client
) -> None:
    async with proxy.poisoned(Swallow()):
        with pytest.raises(TimeoutError):
            await client.ask(b"lost", within_s=0.02)

    with pytest.raises(ConnectionResetError):
        await client.hear()


async def test_a_swallow_that_met_no_data_leaves_no_trace(
    proxy: FaultProxy, client: Client
) -> None:
    async with proxy.poisoned(Swallow()):
        pass

    assert await client.is_open()


async def test_a_swallow_with_an_end_closes(proxy: FaultProxy, client: Client) -> None:
    async with proxy.poisoned(Swallow(after_s=0.02, direction="up")):
        assert await client.ask(b"lost") == b""


async def test_a_limit_lets_so_much_through_and_closes(
    proxy: FaultProxy, client: Client
) -> None:
    async with proxy.poisoned(LimitData(size=5)):
        assert await client.ask(b"abcdef") == b"+abcd"
        assert await client.hear() == b""


async def test_a_slow_close_comes_late(proxy: FaultProxy, client: Client) -> None:
    loop = asyncio.get_running_loop()
    async with proxy.poisoned(SlowClose(delay_s=0.05)):
        assert await client.ask(b"bye") == b"+bye"
        began = loop.time()

        assert await client.hear() == b""

    assert loop.time() - began >= 0.03


async def test_a_reset_is_a_reset(proxy: FaultProxy, client: Client) -> None:
    async with proxy.poisoned(ResetPeer(after_s=0.01)):
        with pytest.raises(ConnectionResetError):
            await client.hear()


async def test_a_reset_that_was_taken_back_in_time_does_not_come(
    proxy: FaultProxy, client: Client
) -> None:
    async with proxy.poisoned(ResetPeer(after_s=0.02)):
        assert await client.is_open()

    with pytest.raises(TimeoutError):
        await client.hear(within_s=0.03)
    assert await client.is_open()


async def test_down_cuts_and_refuses_and_ends_on_the_same_port(
    proxy: FaultProxy, client: Client
) -> None:
    async with proxy.poisoned(Down()):
        with pytest.raises(ConnectionResetError):
            await client.hear()
        with pytest.raises(ConnectionRefusedError):
            await Client(proxy.port).open()

    again = await Client(proxy.port).open()
    assert await again.is_open()


async def test_a_cut_is_for_once(proxy: FaultProxy, client: Client) -> None:
    proxy.cut()

    with pytest.raises(ConnectionResetError):
        await client.hear()
    assert await (await Client(proxy.port).open()).is_open()


async def test_a_share_of_the_connections_is_struck(proxy: FaultProxy) -> None:
    async with proxy.poisoned(LimitData(size=1, share=0.5)):
        clients = [await Client(proxy.port).open() for _ in range(20)]
        whole = [await client.ask(b"abc") == b"+abc" for client in clients]

    assert 4 <= sum(whole) <= 16


async def test_the_nth_reply_is_lost_though_the_command_was_done(
    upstream: Upstream, proxy: FaultProxy, client: Client
) -> None:
    async with proxy.poisoned(LoseReply(of=b"EVALSHA", nth=2)):
        assert await client.ask(b"EVALSHA 1") == b"+EVALSHA 1"
        assert await client.ask(b"GET") == b"+GET"
        client.writer.write(b"GET 2\r\nEVALSHA 2\r\nGET 3\r\n")

        assert await client.hear() == b"+GET 2"
        assert await client.hear() == b""
        assert b"EVALSHA 2" in upstream.told
        assert proxy.stats().replies_lost == 1
        again = await Client(proxy.port).open()
        assert await again.ask(b"EVALSHA 3") == b"+EVALSHA 3"


async def test_a_lost_reply_may_leave_silence(
    upstream: Upstream, proxy: FaultProxy, client: Client
) -> None:
    async with proxy.poisoned(LoseReply(nth=1, swallow=True)):
        for question in (b"one", b"two"):
            with pytest.raises(TimeoutError):
                await client.ask(question, within_s=0.03)

        assert upstream.told == [b"hello", b"one", b"two"]

    with pytest.raises(ConnectionResetError):
        await client.hear()


async def test_replies_are_lost_by_chance(proxy: FaultProxy) -> None:
    async with proxy.poisoned(LoseReply(chance=0.3)):
        lost = 0
        for _ in range(60):
            client = await Client(proxy.port).open()
            lost += await client.ask(b"x") == b""
            client.writer.close()

    assert 5 <= lost <= 35
    assert proxy.stats().replies_lost == lost


async def test_only_a_proxy_that_knows_replies_can_lose_one() -> None:
    proxy = FaultProxy("tcp://127.0.0.1:1")

    with pytest.raises(InvalidInput, match="tell replies apart"):
        await proxy.add(LoseReply(nth=1))


async def test_a_toxic_that_is_not_there_cannot_be_removed(proxy: FaultProxy) -> None:
    with pytest.raises(InvalidInput, match="not one of"):
        await proxy.remove(Latency(latency_s=1))


async def test_clear_ends_all_toxics(proxy: FaultProxy, client: Client) -> None:
    toxics: list[Toxic] = [Latency(latency_s=9), Slicer(), Bandwidth(bytes_per_s=1)]
    for toxic in toxics:
        await proxy.add(toxic)

    await proxy.clear()

    assert proxy.toxics == ()
    assert await client.is_open()


async def test_an_upstream_that_is_away_ends_the_connection() -> None:
    proxy = FaultProxy("redis://127.0.0.1:9")
    await proxy.start()

    client = await Client(proxy.port).open()

    with contextlib.suppress(ConnectionResetError):
        assert await client.hear() == b""
    await proxy.stop()


def test_an_upstream_without_a_port_is_refused() -> None:
    with pytest.raises(InvalidInput, match="host and a port"):
        FaultProxy("redis://localhost")
