"""The manager: sources in, one whole view out; writes seen by who wrote them."""

from __future__ import annotations

import asyncio

import pytest

from quorate.config.events import (
    ConfigPublished,
    ConfigSourceFailed,
    ConfigSourceRestored,
    LastGoodUsed,
)
from quorate.config.formats import ConfigFormat
from quorate.config.manager import ConfigManager
from quorate.config.model import Layer, Loaded
from quorate.config.options import ConfigOptions
from quorate.config.writing import Terms
from quorate.core.errors import (
    ConfigConflict,
    ConfigInvalid,
    InvalidInput,
    InvalidName,
    InvalidUrl,
    KeyMissing,
    MissingCapability,
    StoreUnavailable,
)
from quorate.core.events import Event
from quorate.core.fence import Fence, enter_fence, leave_fence


@pytest.fixture
async def manager(store, heard):
    async with ConfigManager(store, emit=heard.emit) as manager:
        yield manager


class Given:
    """A source of one test: what it holds is set by hand."""

    layer = Layer.REMOTE
    recheck_s = 3600.0

    def __init__(self, name: str = "given") -> None:
        self.name = name
        self.tree: dict = {}
        self.error: Exception | None = None
        self.changed = lambda: None

    async def load(self) -> Loaded:
        if self.error is not None:
            raise self.error
        return Loaded(self.tree, repr(self.tree))

    async def watch(self, changed) -> None:
        self.changed = changed
        await asyncio.Event().wait()

    def hold(self, tree: dict) -> None:
        self.tree, self.error = tree, None
        self.changed()


async def test_what_is_set_is_seen_when_set_returns(manager):
    revision = await manager.set("feature.enabled", True, author="ann", comment="why")

    assert manager.get("feature.enabled") is True
    assert manager.snapshot.revision == revision == 1
    assert manager.stored("feature.enabled").value is True
    assert manager.stored("feature.enabled").version == 1


async def test_a_write_is_told_without_its_value(manager, heard):
    await manager.set("password", "hunter2", author="ann", comment="new one")

    (event,) = heard.all(ConfigPublished)
    assert (event.keys, event.revision, event.author) == (("password",), 1, "ann")
    assert "hunter2" not in repr(heard.all(Event))


async def test_several_keys_are_one_transaction(manager):
    told = []
    manager.add_change_callback(lambda change: told.append(change.keys))

    revision = await manager.set_many({"a": 1, "b.c": 2}, Terms(comment="both"))
    await manager.settled(5)

    assert revision == 1
    assert told == [("a", "b.c")]


async def test_update_config_is_set(manager):
    assert await manager.update_config("a", 1, author="ann") == 1
    assert (await manager.history("a"))[0].author == "ann"


async def test_deleting_shows_what_lies_below(manager, tmp_path):
    (tmp_path / "app.yaml").write_text("a: {b: file, c: 1}")
    manager.add_file_source(tmp_path / "app.yaml")
    await manager.set("a.b", "store")
    assert manager.get("a") == {"b": "store", "c": 1}

    await manager.delete("a.b")

    assert manager.get("a") == {"b": "file", "c": 1}
    assert manager.stored("a.b").version == 2


async def test_compare_and_set_goes_through(manager):
    await manager.set("a", 1, expect=0)

    with pytest.raises(ConfigConflict):
        await manager.set("a", 2, expect=0)
    await manager.set("a", 2, expect=manager.stored("a").version)
    with pytest.raises(ConfigConflict):
        await manager.delete("a", expect=1)


async def test_reading_what_is_not_there(manager):
    assert manager.get("x", "default") == "default"
    assert manager.get("x", None) is None
    for read in (manager.get, manager.get_config):
        with pytest.raises(KeyMissing, match="x is not set"):
            read("x")


async def test_what_is_read_belongs_to_the_reader(manager):
    await manager.set("a", {"b": [1]})

    manager.get("a")["b"].append(2)
    manager.get("a.b").append(2)
    manager.get_config()["a"] = None
    manager.stored("a").value["b"].append(2)

    assert manager.get_config() == {"a": {"b": [1]}}


async def test_history_has_values_and_authors_newest_first(manager):
    for number in range(4):
        await manager.set("a.b", number, author=f"a{number}")
    await manager.set("c", 1)

    history = await manager.history("a", limit=2)

    assert [commit.revision for commit in history] == [4, 3]
    assert [commit.writes[0].value for commit in history] == [3, 2]
    assert len(await manager.history()) == 5


async def test_without_a_store_there_is_nothing_to_write_to():
    manager = ConfigManager()
    await manager.start()

    for write in (manager.set("a", 1), manager.delete("a"), manager.history()):
        with pytest.raises(MissingCapability):
            await write
    with pytest.raises(MissingCapability):
        manager.try_change("a", 1)
    assert manager.stale_since is None
    await manager.stop()


async def test_an_override_wins_in_this_process_alone(manager, store):
    await manager.set("a", {"b": 1})

    manager.override("a.b", 2)
    manager.override("x", {"y.z": 3})
    assert manager.get("a.b") == 2
    assert manager.get("x.y.z") == 3
    assert store.contents.tree() == {"a": {"b": 1}}

    manager.drop_override("a.b")
    assert manager.get("a.b") == 1
    with pytest.raises(InvalidName):
        manager.override("a..b", 1)


async def test_trying_a_change_shows_its_effect_and_writes_nothing(manager, store):
    await manager.set("a", {"b": 1, "c": 2})
    manager.watch_config("a.*", print)
    manager.watch_config("other", print)

    effect = manager.try_change("a", {"b": 5})

    assert (effect.before, effect.after) == ({"b": 1, "c": 2}, {"b": 5})
    assert [change.key for change in effect.changes] == ["a.b", "a.c"]
    assert effect.reaches == ("a.*",)
    assert effect.hidden_by is None
    assert store.contents.cursor.revision == 1
    assert manager.get("a.b") == 1


async def test_trying_a_change_tells_what_would_hide_it(store):
    options = ConfigOptions(environ={"QUORATE_A__B": "env"})
    async with ConfigManager(store, options) as manager:
        effect = manager.try_change("a.b", "store")

        assert effect.changes == ()
        assert effect.hidden_by.layer is Layer.ENVIRONMENT
        assert effect.hidden_by.place == "QUORATE_A__B"


async def test_a_validator_refuses_before_anything_is_written(manager, store):
    def small(snapshot) -> None:
        if snapshot.paths.get("n", 0) > 9:
            raise ValueError("n is too large")

    manager.add_validator(small)

    with pytest.raises(ConfigInvalid, match="n is too large"):
        await manager.set("n", 10)
    assert "n is too large" in manager.try_change("n", 10).refused
    assert store.contents.cursor.revision == 0
    await manager.set("n", 9)


async def test_bad_input_is_refused_before_anything_is_written(manager, store):
    for write in (
        manager.set("a..b", 1),
        manager.set("a", object()),
        manager.set("a", 1, expect=-1),
        manager.set("a", 1, author="x" * 300),
        manager.set_many({"a": 1, "a.b": 2}),
        manager.delete(""),
    ):
        with pytest.raises(InvalidInput):
            await write
    assert store.contents.cursor.revision == 0


async def test_a_write_under_a_lock_is_fenced_by_it(manager, store, monkeypatch):
    drafts = []
    commit = store.commit

    async def spy(draft):
        drafts.append(draft)
        return await commit(draft)

    monkeypatch.setattr(store, "commit", spy)
    around, own = Fence("lock", 5, "s", "{t}"), Fence("own", 6, "s", "{t}")

    before = enter_fence(around)
    await manager.set("a", 1)
    await manager.set("a", 2, fence=own)
    leave_fence(before)
    await manager.set("a", 3)

    assert [draft.fence for draft in drafts] == [around, own, None]


async def test_a_change_made_elsewhere_arrives_by_itself(manager, store):
    seen: asyncio.Queue = asyncio.Queue()
    manager.watch_config("a", seen.put)
    other = ConfigManager(store)
    await other.start()

    await other.set("a", 1)

    async with asyncio.timeout(5):
        assert await seen.get() == 1
    await other.stop()


async def test_a_store_that_goes_away_leaves_the_values_and_says_since_when(
    manager, store, heard
):
    await manager.set("a", 1)
    store.away = True
    with pytest.raises(StoreUnavailable):
        await manager.reload_config()

    assert manager.get("a") == 1
    assert manager.stale_since is not None
    with pytest.raises(StoreUnavailable):
        await manager.set("a", 2)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await manager.reload_config()
    assert heard.count(ConfigSourceFailed) == 1

    store.away = False
    await manager.reload_config()
    assert manager.stale_since is None
    assert heard.count(ConfigSourceRestored) == 1


async def test_a_write_that_cannot_be_read_back_is_still_written(manager, store):
    changes = store.changes

    async def fails(after):
        store.changes = changes
        raise StoreUnavailable("gone")

    store.changes = fails

    assert await manager.set("a", 1) == 1
    assert store.contents.tree() == {"a": 1}


async def test_a_store_that_is_away_at_the_start_is_an_error(store):
    store.away = True

    with pytest.raises(StoreUnavailable):
        await ConfigManager(store).start()


async def test_the_last_known_good_values_serve_until_the_store_is_back(
    store, tmp_path, heard
):
    options = ConfigOptions(data_dir=str(tmp_path))
    async with ConfigManager(store, options) as first:
        await first.set("a", {"b": 1})

    store.away = True
    async with ConfigManager(store, options, emit=heard.emit) as second:
        assert second.get("a.b") == 1
        assert second.stale_since is not None
        await heard(LastGoodUsed, source="store")

        store.away = False
        await second.reload_config()
        assert second.stale_since is None
        assert second.get("a.b") == 1


async def test_what_was_set_last_is_kept_when_the_manager_stops(store, tmp_path):
    options = ConfigOptions(data_dir=str(tmp_path))
    for number in range(20):
        async with ConfigManager(store, options) as first:
            await first.set("n", number)
            await asyncio.sleep(0)
        store.away = True
        async with ConfigManager(store, options) as second:
            assert second.get("n") == number
        store.away = False


async def test_a_file_and_the_one_of_its_environment_are_read_at_once(tmp_path):
    (tmp_path / "app.yaml").write_text("db: {url: a, pool: 5}\nname: ${NAME}")
    (tmp_path / "app.production.yaml").write_text("db: {url: b}")
    (tmp_path / "app.staging.yaml").write_text("db: {url: c}")
    manager = ConfigManager(
        options=ConfigOptions(
            environment="production",
            environ={"NAME": "shop", "QUORATE_DB__POOL": "9"},
        )
    )

    manager.add_file_source(str(tmp_path / "app.yaml"), ConfigFormat.YAML)

    assert manager.get_config() == {"db": {"url": "b", "pool": 9}, "name": "shop"}
    explained = str(manager.explain("db.url"))
    assert "→ environment file" in explained
    assert "(line 1): 'a'" in explained


async def test_a_file_that_cannot_be_used_is_not_added(tmp_path):
    manager = ConfigManager()
    path = tmp_path / "app.yaml"

    with pytest.raises(ConfigInvalid, match="is not there"):
        manager.add_file_source(path)
    path.write_text("a: [")
    with pytest.raises(ConfigInvalid, match="not valid YAML"):
        manager.add_file_source(path)
    path.write_text("a: 1")
    manager.add_file_source(path)
    with pytest.raises(InvalidInput, match="already"):
        manager.add_file_source(path)

    assert manager.get_config() == {"a": 1}
    assert [s.layer for s in manager.stats().sources] == [
        Layer.FILE,
        Layer.ENVIRONMENT_FILE,
    ]


async def test_a_file_added_before_the_start_is_followed_afterwards(tmp_path):
    path = tmp_path / "app.yaml"
    path.write_text("a: 1")
    manager = ConfigManager()
    manager.add_file_source(path)

    async with manager:
        path.write_text("a: 2")
        assert await manager.reload_config() == ("a",)
        assert manager.get("a") == 2


async def test_a_source_of_the_users_own_is_followed(manager, heard):
    given, seen = Given(), asyncio.Queue()
    manager.watch_config("a", seen.put)
    given.tree = {"a": 1}
    manager.add_source(given)

    async with asyncio.timeout(5):
        assert await seen.get() == 1
        given.hold({"a": 2})
        assert await seen.get() == 2

    with pytest.raises(InvalidInput, match="already"):
        manager.add_source(Given())


async def test_a_source_that_fails_keeps_what_it_gave_and_is_told_once(manager, heard):
    given = Given()
    given.tree = {"a": 1}
    manager.add_source(given)
    await manager.reload_config()

    given.error = ConfigInvalid("broken")
    for _ in range(3):
        with pytest.raises(ConfigInvalid):
            await manager.reload_config()

    assert manager.get("a") == 1
    assert heard.count(ConfigSourceFailed, source="given") == 1
    state = {s.name: s for s in manager.stats().sources}["given"]
    assert state.failing_since is not None
    assert state.failures >= 3

    given.hold({"a": 2})
    await manager.reload_config()
    await heard(ConfigSourceRestored, source="given")
    assert manager.get("a") == 2


async def test_content_that_is_refused_as_a_whole_keeps_the_last_good(manager, heard):
    def never_two(snapshot) -> None:
        if snapshot.paths.get("a") == 2:
            raise ValueError("not two")

    given = Given()
    manager.add_source(given)
    manager.add_validator(never_two)
    given.hold({"a": 1})
    await manager.reload_config()

    given.hold({"a": 2, "b": 1})
    with pytest.raises(ConfigInvalid, match="not two"):
        await manager.reload_config()

    assert manager.get_config() == {"a": 1}
    await heard(ConfigSourceFailed, source="given")


async def test_a_source_that_is_away_at_the_start_does_not_keep_it(store, heard):
    given = Given()
    given.error = OSError("unplugged")
    manager = ConfigManager(store, emit=heard.emit)
    manager.add_source(given)

    async with manager:
        await heard(ConfigSourceFailed, source="given")
        given.hold({"a": 1})
        await manager.reload_config()
        assert manager.get("a") == 1


async def test_a_remote_source_is_checked_before_it_is_asked(manager):
    for interval in (0, 0.5, float("nan"), 1e9):
        with pytest.raises(InvalidInput, match="poll interval"):
            manager.set_remote_source("http://localhost/", poll_interval=interval)
    with pytest.raises(InvalidUrl):
        manager.set_remote_source("localhost")


async def test_stats_count_what_happened(manager):
    await manager.set("a", 1)
    await manager.set("a", 1)

    stats = manager.stats()

    assert (stats.published, stats.changes, stats.revision, stats.keys) == (2, 1, 2, 1)
    assert stats.stale_since is None
    assert stats.sources[0].name == "store"


async def test_stopping_twice_is_harmless_and_values_stay(store):
    manager = ConfigManager(store)
    await manager.start()
    await manager.set("a", 1)

    await manager.stop()
    await manager.stop()

    assert manager.get("a") == 1
