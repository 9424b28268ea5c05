"""One connection: opened by redis-py, then spoken by ourselves."""

from __future__ import annotations

import asyncio
import gc
import warnings

import pytest
from tests.unit.wire.scripted_server import ScriptedServer, array, bulk

from quorate.core.errors import StoreRefused, StoreUnavailable
from quorate.wire.address import Address
from quorate.wire.link import Dialer, Link, Reply, pack


class Said:
    """What a link told."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.losses: list[Exception | None] = []
        self.link = Link(self.replies.append, self.losses.append)


@pytest.mark.parametrize(
    ("words", "packed"),
    [
        (("PING",), b"*1\r\n$4\r\nPING\r\n"),
        (("SET", "k", b"\x00"), b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n\x00\r\n"),
        (("X", 7, -1, 0.5), b"*4\r\n$1\r\nX\r\n$1\r\n7\r\n$2\r\n-1\r\n$3\r\n0.5\r\n"),
        (("GET", "ü"), b"*2\r\n$3\r\nGET\r\n$2\r\n\xc3\xbc\r\n"),
    ],
)
def test_commands_are_packed_as_the_server_reads_them(
    words: tuple[str | bytes | int | float, ...], packed: bytes
) -> None:
    assert pack(*words) == packed


async def test_replies_come_in_order_and_the_end_is_told_once(
    scripted: ScriptedServer,
) -> None:
    said = Said()
    await scripted.dialer().dial(said.link)
    assert said.link.is_open

    scripted.talk.send(b":1\r\n$-1\r\n" + array(bulk(b"a"), b":2\r\n")[:5])
    scripted.talk.send(array(bulk(b"a"), b":2\r\n")[5:])
    scripted.talk.transport.write_eof()  # type: ignore[union-attr]
    await scripted.until(lambda: not scripted.talk.is_open)
    await asyncio.sleep(0)

    assert said.replies == [1, None, [b"a", 2]]
    assert len(said.losses) == 1
    assert not said.link.is_open


async def test_a_closed_link_says_so_and_a_muted_one_says_nothing(
    scripted: ScriptedServer,
) -> None:
    closed, muted, disowned = Said(), Said(), Said()
    for said in (closed, muted, disowned):
        await scripted.dialer().dial(said.link)

    closed.link.close()
    muted.link.mute()
    muted.link.close()
    disowned.link.disown()
    await scripted.until(lambda: not any(talk.is_open for talk in scripted.talks))
    await asyncio.sleep(0)

    assert closed.losses == [None]
    assert muted.losses == disowned.losses == []


async def test_what_a_disowned_link_has_not_delivered_is_never_delivered(
    scripted: ScriptedServer,
) -> None:
    said = Said()
    await scripted.dialer().dial(said.link)
    assert scripted.talk.transport is not None
    scripted.talk.transport.pause_reading()
    said.link.write(pack("ECHO", b"x" * 30_000_000))
    await asyncio.sleep(0.05)

    said.link.disown()
    await asyncio.sleep(0)
    scripted.talk.transport.resume_reading()
    await scripted.until(lambda: not scripted.talk.is_open)

    assert scripted.heard == []


async def test_a_link_without_a_connection_is_patient() -> None:
    said = Said()

    said.link.write(b"into the void")
    said.link.close()
    said.link.disown()

    assert not said.link.is_open


async def test_a_dial_may_be_cancelled_at_any_moment(scripted: ScriptedServer) -> None:
    """The dial ends as cancelled, and no connection is left open."""
    await scripted.dialer().dial(Said().link)  # what is done only once, done before
    turns, cancelled = 0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        while turns < 200:
            link = Said().link
            dialling = asyncio.create_task(scripted.dialer().dial(link))
            for _ in range(turns):
                await asyncio.sleep(0)
            if dialling.done():
                break
            dialling.cancel()
            await asyncio.wait([dialling], timeout=2)
            assert dialling.cancelled(), f"swallowed after {turns} turns"
            cancelled += 1
            turns += 1
            del link, dialling
            gc.collect()
        open_at_last = [talk for talk in scripted.talks[1:-1] if talk.is_open]
        await scripted.until(lambda: not any(talk.is_open for talk in open_at_last))

    assert 5 < cancelled < 200


async def test_the_password_is_sent_and_never_shown(scripted: ScriptedServer) -> None:
    sent: list[object] = []
    url = f"redis://me:s3cret@127.0.0.1:{scripted.port}/2"
    del scripted.greeting[b"AUTH"]
    scripted.answer = lambda command: sent.append(command) or b"+OK\r\n"  # type: ignore[func-returns-value]
    dialer = scripted.dialer(url=url)

    await dialer.dial(Said().link)

    assert sent == [[b"AUTH", b"me", b"s3cret"]]
    assert dialer.shown == f"redis://127.0.0.1:{scripted.port}/2"


@pytest.mark.parametrize(
    ("url", "kind", "part"),
    [
        ("redis://127.0.0.1:1", StoreUnavailable, "Connect call failed"),
        ("redis://no-such-host.invalid:6379", StoreUnavailable, ""),
        ("redis://a..b:6379", StoreUnavailable, ""),
        (
            "rediss://127.0.0.1:1?ssl_ca_certs=/no/such/file",
            StoreUnavailable,
            "",
        ),
        ("rediss://127.0.0.1:1?ssl_cert_reqs=maybe", StoreUnavailable, "maybe"),
    ],
)
async def test_what_keeps_a_connection_from_opening_is_told(
    url: str, kind: type[Exception], part: str
) -> None:
    dialer = Dialer(lambda: Address(url, "redis", url), connect_timeout_s=1)

    with pytest.raises(kind, match="cannot be reached") as told:
        await dialer.dial(Said().link)

    assert part in str(told.value)


async def test_a_refusal_names_what_to_look_at(scripted: ScriptedServer) -> None:
    scripted.greeting[b"CLIENT"] = b"-NOPERM this user has no permissions\r\n"

    with pytest.raises(StoreRefused, match="what this user may do") as told:
        await scripted.dialer().dial(Said().link)

    assert told.value.code == "NOPERM"


async def test_a_server_of_our_own_that_does_not_come_back_is_unavailable() -> None:
    asked = []

    async def resolve() -> None:
        asked.append("started")

    url = "redis://127.0.0.1:1"
    dialer = Dialer(
        lambda: Address(url, "embedded", url), connect_timeout_s=1, resolve=resolve
    )

    with pytest.raises(StoreUnavailable):
        await dialer.dial(Said().link)

    assert asked == ["started"]
