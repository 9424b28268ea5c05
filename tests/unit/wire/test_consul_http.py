"""Requests to Consul: deadlines, what an answer means, and what is never done twice."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest
from tests.ports import free_port
from tests.unit.wire.scripted_http import ScriptedHttp

from quorate.core.errors import (
    MissingCapability,
    OutcomeUnknown,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from quorate.wire import consul_http
from quorate.wire.consul import ConsulWire
from quorate.wire.consul_calls import ConsulCalls, Entry, Op, Refused
from quorate.wire.consul_http import ConsulClient, HttpLimits
from quorate.wire.consul_place import read_consul_url

LIMITS = HttpLimits(timeout_s=0.1, connect_timeout_s=0.1, connections=4)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedHttp]:
    async with ScriptedHttp() as server:
        yield server


@pytest.fixture
async def calls(server: ScriptedHttp) -> AsyncIterator[ConsulCalls]:
    place = read_consul_url(f"consul://right-token@127.0.0.1:{server.port}")
    calls = ConsulCalls(ConsulClient(place, LIMITS))
    yield calls
    await calls.close()


async def test_what_is_asked_and_answered_comes_through(server, calls):
    server.answers(body='{"ID": "s1"}')

    assert await calls.put("/v1/session/create", {"Name": "x"}) == {"ID": "s1"}
    assert server.heads[0].startswith("PUT /v1/session/create HTTP/1.1")


async def test_requests_are_counted_until_they_are_answered(server, calls):
    server.answers(hang=True)

    asking = asyncio.ensure_future(calls.look("/v1/kv/a"))
    await asyncio.sleep(0)
    assert (calls.stats().requests, calls.stats().pending) == (1, 1)
    with pytest.raises(StoreUnavailable):
        await asking

    assert (calls.stats().requests, calls.stats().pending) == (1, 0)


async def test_an_index_runs_with_the_answer_and_never_backwards(server, calls):
    server.answers(body="[1]", index="7")
    server.answers(body="[2]", index="3")
    server.answers(status=404, index="0")

    assert await calls.look("/v1/kv/a") == (7, [1])
    assert await calls.look("/v1/kv/a", 7, 5.0) == (0, [2])
    assert await calls.look("/v1/kv/a") == (1, None)
    assert "index=7&wait=5s" in server.heads[1]
    assert all("consistent=1" in head for head in server.heads)


async def test_a_transaction_tells_what_was_written_or_why_nothing_was(server, calls):
    server.answers(
        body='{"Results": [{"KV": {"Key": "k", "Value": "aGk=", "Flags": 2, '
        '"Session": "s", "CreateIndex": 5, "ModifyIndex": 6}}], "Errors": null}'
    )
    server.answers(
        status=409, body='{"Errors": [{"OpIndex": 1, "What": "invalid session"}]}'
    )

    done = await calls.txn([Op("get", "k")])
    refused = await calls.txn([Op("lock", "k", b"v", 1, "s")])

    assert done == [Entry("k", b"hi", 2, "s", 5, 6)]
    assert refused == Refused(1, "invalid session")


async def test_a_folder_that_is_not_there_is_empty(server, calls):
    server.answers(status=404)
    server.answers(
        body='[{"Key": "k", "Value": null, "Flags": 0, "CreateIndex": 5, '
        '"ModifyIndex": 6}]'
    )

    assert await calls.folder("a/") == []
    assert await calls.folder("a/") == [Entry("k", b"", 0, "", 5, 6)]


async def test_what_is_not_there_is_told_from_what_was_done(server, calls):
    server.answers(status=404)

    assert await calls.done("/v1/session/renew/x") is False
    assert await calls.done("/v1/session/renew/x") is True


@pytest.mark.parametrize("how", ["hang", "cut"])
async def test_a_write_without_an_answer_may_have_happened_and_is_not_repeated(
    server, calls, how
):
    await calls.put("/v1/kv/warm")
    server.answers(**{how: True})

    with pytest.raises(OutcomeUnknown, match="may have happened"):
        await calls.put("/v1/kv/a", 1)

    assert len(server.heads) == 2


async def test_a_read_without_an_answer_is_unavailable(server, calls):
    server.answers(hang=True)

    with pytest.raises(StoreUnavailable, match=r"did not answer in 0\.1 s"):
        await calls.look("/v1/kv/a")


async def test_an_answer_that_breaks_off_is_none(server, calls):
    server.answers(body=b'{"ID"', size=100)

    with pytest.raises(OutcomeUnknown):
        await calls.put("/v1/session/create", {})


async def test_where_nobody_listens_nothing_was_sent():
    place = read_consul_url(f"consul://127.0.0.1:{free_port()}")
    calls = ConsulCalls(ConsulClient(place, LIMITS))

    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await calls.put("/v1/kv/a", 1)
    await calls.close()


async def test_who_has_to_wait_for_a_connection_has_sent_nothing(server, calls):
    for _ in range(LIMITS.connections):
        server.answers(hang=True)
    busy = [
        asyncio.ensure_future(calls.look("/v1/kv/a", 5, within_s=1.0))
        for _ in range(LIMITS.connections)
    ]
    async with asyncio.timeout(5):
        while len(server.heads) < LIMITS.connections:
            await asyncio.sleep(0)

    with pytest.raises(StoreUnavailable, match="too slow for what is asked"):
        await calls.put("/v1/kv/b", 1)

    assert not any("kv/b" in head for head in server.heads)
    for query in busy:
        query.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    assert await calls.done("/v1/kv/b")


async def test_a_query_that_blocks_has_the_time_that_consul_takes(server, calls):
    server.answers(hang=True)

    looking = asyncio.ensure_future(calls.look("/v1/kv/a", 5, within_s=1.0))
    done, _ = await asyncio.wait({looking}, timeout=LIMITS.timeout_s * 3)

    assert not done
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        (500, "No cluster leader", StoreUnavailable),
        (500, "rpc error getting client: failed to get conn: EOF", OutcomeUnknown),
        (500, "leadership lost while committing log", OutcomeUnknown),
        (503, "", OutcomeUnknown),
        (429, "Your IP is issuing too many concurrent connections", StoreUnavailable),
        (500, 'CheckID "x" does not have associated TTL', StoreRefused),
        (500, "Check 'x' is in critical state", StoreRefused),
        (403, "Permission denied", StoreRefused),
        (400, "Bad request", StoreRefused),
        (413, "Request body too large", StoreRefused),
        (301, "", StoreRefused),
    ],
)
async def test_a_status_means_refused_not_done_or_unknown(
    server, calls, status, said, error
):
    server.answers(status, said)

    with pytest.raises(StoreError) as raised:
        await calls.put("/v1/kv/a", 1)

    assert type(raised.value) is error
    assert str(status) in raised.value.why
    assert said in raised.value.why


async def test_a_failed_read_changes_nothing_whatever_the_reason(server, calls):
    server.answers(500, "rpc error")

    with pytest.raises(StoreUnavailable):
        await calls.look("/v1/kv/a")


async def test_a_lack_of_rights_is_told_with_what_the_token_needs(server, calls):
    server.answers(403, "Permission denied")

    with pytest.raises(StoreRefused, match="key_prefix write") as raised:
        await calls.put("/v1/kv/a", 1)

    assert raised.value.code == "403"
    assert "right-token" not in str(raised.value)


@pytest.mark.parametrize("body", ["<html>", '{"a": 1}', "[]", "null"])
async def test_what_is_no_answer_of_consul_is_refused(server, calls, body):
    server.answers(body=body)

    with pytest.raises(StoreRefused, match="cannot be read"):
        await calls.txn([Op("get", "k")])


async def test_what_py_consul_cannot_read_is_refused(server, calls):
    server.answers(body="<html>")

    with pytest.raises(StoreRefused, match="answers what is not Consul's"):
        await calls.client.agent.self()


async def test_more_than_can_be_kept_is_refused(server, calls, monkeypatch):
    monkeypatch.setattr(consul_http, "ANSWER_BYTES_MAX", 1000)
    server.answers(body=b"x" * 1001)

    with pytest.raises(StoreRefused, match="too much"):
        await calls.look("/v1/kv/a")


async def test_the_token_of_the_url_is_sent_whatever_the_environment_says(
    server, monkeypatch
):
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "wrong-token")
    monkeypatch.setenv("CONSUL_HTTP_SSL", "true")
    place = read_consul_url(f"consul://right-token@127.0.0.1:{server.port}")
    calls = ConsulCalls(ConsulClient(place, LIMITS))

    await calls.put("/v1/kv/a", 1)
    await calls.close()

    assert "X-Consul-Token: right-token" in server.heads[0]
    assert "Accept-Encoding: identity" in server.heads[0]


async def test_a_key_with_any_letters_arrives_as_it_is(server, calls):
    await calls.look("/v1/kv/a%2Fb/ü x")

    assert server.heads[0].startswith("GET /v1/kv/a%252Fb/%C3%BC%20x?consistent=1 ")


async def test_without_py_consul_it_is_said_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "quorate.wire.consul_http")
    monkeypatch.setitem(sys.modules, "consul.aio", None)

    with pytest.raises(MissingCapability, match=r"quorate\[consul\]"):
        await ConsulWire("consul://127.0.0.1").start()
