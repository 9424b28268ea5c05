"""Variables become keys whose types are still open."""

from __future__ import annotations

from quorate.config.sources.env import read_variables
from quorate.core.scalars import Untyped

SHORT = {"REDIS_URL": ("locks.url", "queue.url"), "DEBUG": ("debug",)}


def test_prefixed_variables_are_keys():
    environ = {
        "APP_DB__URL": "x",
        "APP_DB__POOL__SIZE": "5",
        "APP_PLAIN": "not a path",
        "APP___": "no key",
        "APP_DB__EMPTY": "",
        "OTHER__X": "y",
    }

    loaded = read_variables(environ, "APP_", {})

    assert loaded.tree == {"db": {"url": "x", "pool": {"size": "5"}}}
    assert isinstance(loaded.tree["db"]["url"], Untyped)
    assert loaded.place_of("db.pool.size") == "APP_DB__POOL__SIZE"


def test_short_names_stand_for_all_their_keys_and_are_weaker():
    environ = {"REDIS_URL": "short", "APP_QUEUE__URL": "own", "DEBUG": ""}

    loaded = read_variables(environ, "APP_", SHORT)

    assert loaded.tree == {"locks": {"url": "short"}, "queue": {"url": "own"}}
    assert loaded.place_of("locks.url") == "REDIS_URL"
    assert loaded.place_of("queue.url") == "APP_QUEUE__URL"
