"""A configuration service over HTTP: asked politely, believed only within limits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from quorate.config.events import ConfigSourceFailed, ConfigSourceRestored
from quorate.config.formats import MAX_BYTES
from quorate.config.manager import ConfigManager
from quorate.config.options import ConfigOptions
from quorate.config.sources import remote
from quorate.config.sources.remote import RemoteSource
from quorate.core.errors import ConfigInvalid, StoreUnavailable


class Service:
    """Answers what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.body = b"{}"
        self.status = 200
        self.etag = ""
        self.headers: dict[str, str] = {}
        self.hold: asyncio.Event | None = None
        self.asked: list[web.BaseRequest] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/config"

    def give(self, tree: object, etag: str = "") -> None:
        self.status, self.body, self.etag = 200, json.dumps(tree).encode(), etag

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        if self.hold is not None:
            await self.hold.wait()
        if self.etag and request.headers.get("If-None-Match") == self.etag:
            return web.Response(status=304)
        headers = {**self.headers, **({"ETag": self.etag} if self.etag else {})}
        return web.Response(status=self.status, body=self.body, headers=headers)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    runner = web.ServerRunner(web.Server(service.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.port = runner.addresses[0][1]
    yield service
    if service.hold is not None:
        service.hold.set()
    await runner.cleanup()


async def test_what_the_service_answers_lies_between_files_and_the_store(
    service, tmp_path, heard
):
    (tmp_path / "app.yaml").write_text("a: file\nb: file\n")
    service.give({"b": "remote", "c": {"d": 1}})
    manager = ConfigManager(
        options=ConfigOptions(environ={"QUORATE_C__D": "9"}), emit=heard.emit
    )
    manager.add_file_source(tmp_path / "app.yaml")
    manager.set_remote_source(service.url, poll_interval=60)

    async with manager:
        assert manager.get_config() == {"a": "file", "b": "remote", "c": {"d": "9"}}
        assert "remote: http://127.0.0.1" in str(manager.explain("b"))

        service.give({"b": "other"})
        await manager.reload_config()
        assert manager.get("b") == "other"


async def test_a_token_goes_along_and_nothing_in_the_answer_is_filled(
    service, monkeypatch
):
    monkeypatch.setenv("PATH_LIKE", "leaked")
    service.give({"a": "${PATH_LIKE}", "b": "$$"})
    source = RemoteSource(service.url, 60, {"Authorization": "Bearer x"})

    loaded = await source.load()

    assert loaded.tree == {"a": "${PATH_LIKE}", "b": "$$"}
    assert service.asked[0].headers["Authorization"] == "Bearer x"


async def test_what_has_not_changed_is_not_sent_again(service):
    source = RemoteSource(service.url, 60)
    service.give({"a": 1}, etag='"1"')

    first = await source.load()
    assert await source.load() is first
    service.give({"a": 2}, etag='"2"')
    assert (await source.load()).tree == {"a": 2}

    sent = [request.headers.get("If-None-Match") for request in service.asked]
    assert sent == [None, '"1"', '"1"']


@pytest.mark.parametrize(
    ("status", "body", "error", "told"),
    [
        (500, b"{}", StoreUnavailable, "answered 500"),
        (404, b"{}", StoreUnavailable, "answered 404"),
        (302, b"{}", StoreUnavailable, "not followed"),
        (304, b"", StoreUnavailable, "answered 304"),
        (200, b"<html>", ConfigInvalid, "not valid JSON"),
        (200, b"[1]", ConfigInvalid, "does not hold settings"),
        (200, b'{"a": NaN}', ConfigInvalid, "not valid JSON"),
        (200, b"\xff", ConfigInvalid, "not UTF-8"),
        (200, b'{"a": "' + b"x" * MAX_BYTES + b'"}', ConfigInvalid, "too large"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_an_answer_that_is_no_configuration_is_refused(
    service, status, body, error, told
):
    service.status, service.body = status, body
    service.headers = {"Location": "http://127.0.0.1:1/"} if status == 302 else {}

    with pytest.raises(error, match=told):
        await RemoteSource(service.url, 60).load()


async def test_a_service_that_never_answers_is_given_up(service, monkeypatch):
    monkeypatch.setattr(remote, "TIMEOUT_S", 0.2)
    service.hold = asyncio.Event()

    with pytest.raises(StoreUnavailable, match="did not answer"):
        await RemoteSource(service.url, 60).load()


async def test_nobody_there_is_told_and_the_last_answer_stays(service, heard, tmp_path):
    service.give({"a": 1})
    options = ConfigOptions(data_dir=str(tmp_path))
    async with ConfigManager(options=options, emit=heard.emit) as manager:
        manager.set_remote_source(service.url, poll_interval=60)
        await manager.reload_config()

        service.status = 503
        with pytest.raises(StoreUnavailable):
            await manager.reload_config()
        await heard(ConfigSourceFailed)
        assert manager.get("a") == 1

    again = ConfigManager(options=options, emit=heard.emit)
    again.set_remote_source(service.url, poll_interval=60)
    async with again:
        assert again.get("a") == 1
        service.give({"a": 2})
        await again.reload_config()
        await heard(ConfigSourceRestored)
        assert again.get("a") == 2
