"""The door hands the manager its part of the settings."""

from __future__ import annotations

import pytest

from quorate.config.door import config_options, get_config_manager
from quorate.core.errors import InvalidSettings, InvalidUrl, StoreUnavailable
from quorate.settings import backing, load_settings

ENVIRON = {"ENVIRONMENT": "production", "MESSAGE_WORKERS": "7", "DATA_DIR": "/data"}


def test_options_follow_from_the_settings_and_the_variables():
    options = config_options(load_settings(environ=ENVIRON), ENVIRON)

    assert options.environment == "production"
    assert options.data_dir == "/data"
    assert options.kinds["messaging.workers.count"] is int
    assert options.kinds["messaging.workers.queues"] is list
    assert options.kinds["session.ttl_s"] is float
    assert options.kinds["metrics.enabled"] is bool
    assert "logging.level" not in options.kinds
    assert options.short_names["MESSAGE_WORKERS"] == ("messaging.workers.count",)
    assert "production" not in repr(options).replace("environment='production'", "")


async def test_a_wrong_url_is_refused_before_anything_opens():
    with pytest.raises(InvalidUrl, match="Did you mean redis"):
        await get_config_manager("reddis://localhost")


async def test_wrong_settings_are_refused_before_anything_opens(monkeypatch):
    monkeypatch.setenv("MESSAGE_WORKERS", "many")

    with pytest.raises(InvalidSettings, match="MESSAGE_WORKERS"):
        await get_config_manager("memory://x")


class Opened:
    """Stands for a backend: opens at the second try."""

    made: list[Opened]

    def __init__(self, url: str, **terms) -> None:
        self.url = url
        self.terms = terms
        self.started = self.stopped = 0
        Opened.made.append(self)

    async def start(self) -> None:
        self.started += 1
        raise StoreUnavailable("nobody there")

    async def stop(self) -> None:
        self.stopped += 1


async def test_a_server_that_is_away_is_an_error_and_nothing_is_left_open(monkeypatch):
    Opened.made = []
    monkeypatch.setattr(backing, "Backend", Opened)
    monkeypatch.setenv("REDIS_URL", "redis://somewhere:1")
    monkeypatch.setenv("QUORATE_NAMESPACE", "shop")

    with pytest.raises(StoreUnavailable):
        await get_config_manager()

    (backend,) = Opened.made
    assert backend.url == "redis://somewhere:1"
    assert backend.terms["namespace"] == "shop"
    assert backend.terms["terms"].ttl_s == 15.0
    assert backend.started == 1
