"""Dynamic configuration of one process: every source in one view that is always whole.

    file < environment-specific file < remote < store < environment < override

Reading never waits and never fails because a source is away: what a source gave last
stays in force, and `stale_since` says since when the store has not been seen. Writing
goes to the shared store, one revision a transaction, and is seen here when it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from quorate.core.clock import Clock, SystemClock
from quorate.core.codec import Json
from quorate.core.errors import InvalidInput, KeyMissing, MissingCapability
from quorate.core.events import Emit, silent
from quorate.core.fence import Fence
from quorate.watch.versioned import Versioned

from .assembly import Assembly, Validator
from .diff import diff
from .formats import ConfigFormat
from .intake import Intake
from .layers import Content, Explanation, Snapshot, explain
from .model import Commit, Layer, Loaded, Write
from .options import ConfigOptions, ConfigStats
from .publisher import Publisher
from .sources.env import read_variables
from .sources.source import Source
from .sources.stored import StoreSource
from .store import ConfigStore
from .subscribers import ConfigWatcher, OnChange, OnValue, Subscribers
from .tree import MISSING, check_key, copied, lookup, with_value, without
from .writing import Effect, Terms, draft

MANY = Terms()


class ConfigManager:
    """All configuration of a process. `await start()` before, `await stop()` after.

    Without a `store` it reads only, from files, variables and other sources. Sources
    and callbacks may be added before and after the start.
    """

    def __init__(
        self,
        store: ConfigStore | None = None,
        options: ConfigOptions | None = None,
        *,
        emit: Emit = silent,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self.options = options or ConfigOptions()
        self._assembly = Assembly(self.options.kinds, emit)
        self._subscribers = Subscribers(self._assembly, emit)
        self._intake = Intake(self._assembly, self.options, emit, clock)
        self._overrides = Loaded({}, "")
        self._publisher: Publisher | None = None
        self._put(
            Layer.ENVIRONMENT,
            read_variables(
                self.options.environ, self.options.prefix, self.options.short_names
            ),
        )
        if store is not None:
            source = StoreSource(store, emit)
            self._intake.add(source)
            self._publisher = Publisher(
                store, source, self._assembly, self._intake, emit, clock
            )

    async def start(self) -> None:
        """Take in every source and begin to follow them.

        A store that cannot be reached is replaced by its last known good content, if
        that was kept on disk; otherwise its error is raised and nothing is started.
        """
        await self._intake.start()
        self._subscribers.open()

    async def stop(self) -> None:
        """Follow nothing and tell nobody any more. The last values stay readable."""
        await self._intake.stop()
        await self._subscribers.close()
        if self._publisher is not None:
            await self._publisher.store.close()

    async def __aenter__(self) -> ConfigManager:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def add_file_source(
        self, path: str | Path, kind: ConfigFormat | None = None
    ) -> None:
        """Read the file now and follow it from now on.

        `app.production.yaml` beside `app.yaml` lies over it in the environment
        "production", and need not be there. Raises `ConfigInvalid` for a file that is
        missing or does not parse; then it is not added.
        """
        self._intake.add_file(Path(path), kind)

    def add_source(self, source: Source) -> None:
        """Follow a source of your own; its content comes with the start, or soon."""
        self._intake.add(source)

    def set_remote_source(
        self,
        url: str,
        poll_interval: float = 60.0,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Ask a configuration service over HTTP every `poll_interval` seconds.

        It answers a JSON object. Raises `InvalidUrl`, and `InvalidInput` for an
        interval under a second or over a day.
        """
        if not 1.0 <= poll_interval <= 86_400.0:
            raise InvalidInput(
                f"A poll interval of {poll_interval} s cannot be used.",
                "It must be between 1 s and a day.",
            )
        from .sources.remote import RemoteSource  # HTTP costs a tenth of a second

        self.add_source(RemoteSource(url, poll_interval, dict(headers or {})))

    def get(self, key: str, default: Json = MISSING) -> Json:
        """The value or section at `key`, or `default`; without one `KeyMissing`.

        What you get is yours: changing it changes nothing else.
        """
        value = self._assembly.snapshot.paths.get(key, default)
        if value is MISSING:
            raise KeyMissing(
                f"{key} is not set.",
                "No layer has it, and no default was given.",
                "Set it, or give get() a default.",
            )
        return copied(value) if isinstance(value, dict | list) else value

    def get_config(self, key: str = "") -> Json:
        """Everything, or what is at `key`. Raises `KeyMissing`."""
        return self.get(key) if key else copied(self._assembly.snapshot.tree)

    @property
    def snapshot(self) -> Snapshot:
        """All values as of now. It never changes: for reads that belong together."""
        return self._assembly.snapshot

    def explain(self, key: str) -> Explanation:
        """Why `key` has its value: every source that knows it, and where in it."""
        return explain(self._assembly.snapshot, check_key(key))

    def stored(self, key: str) -> Versioned[Json]:
        """What the store alone has at `key`, and the revision to `expect` of it."""
        contents = self._writer().source.contents
        value = copied(lookup(contents.tree(), check_key(key)))
        return Versioned(value, contents.revision_of(key), contents.cursor.epoch)

    async def history(self, key: str = "", limit: int = 10) -> tuple[Commit, ...]:
        """The last transactions that touched `key` (or any), newest first."""
        return await self._writer().store.history(
            check_key(key) if key else "", max(1, limit)
        )

    @property
    def stale_since(self) -> float | None:
        """Wall time since which the store has not been seen; None while it is."""
        return self._intake.failing_since(StoreSource.name)

    async def set(
        self,
        key: str,
        value: Json,
        *,
        expect: int | None = None,
        fence: Fence | None = None,
        author: str = "",
        comment: str = "",
    ) -> int:
        """Write `value` at `key` in the shared store; returns the revision.

        It takes the place of everything at and below `key`. `expect` is the revision
        that the key must have (0: it must not exist), else `ConfigConflict`. The write
        is fenced by `fence` or by the lock around it: `StaleTokenError`. Raises
        `StoreUnavailable`, `OutcomeUnknown`, `InvalidInput`, and `ConfigInvalid` if a
        validator refuses the outcome. When this returns, `get` sees the value.
        """
        write = Write(key, value, expect=expect)
        return await self._writer().write((write,), Terms(None, fence, author, comment))

    async def set_many(self, values: Mapping[str, Json], terms: Terms = MANY) -> int:
        """Write all of `values` as one transaction; `terms.expect` is the store's."""
        writes = tuple(Write(key, value) for key, value in values.items())
        return await self._writer().write(writes, terms)

    async def update_config(
        self, key: str, value: Json, *, author: str = "", comment: str = ""
    ) -> int:
        """The same as `set`, by the name of the service management design."""
        return await self.set(key, value, author=author, comment=comment)

    async def delete(
        self,
        key: str,
        *,
        expect: int | None = None,
        fence: Fence | None = None,
        author: str = "",
        comment: str = "",
    ) -> int:
        """Remove `key` and all below it from the store; returns the revision.

        What lower layers have there shows again.
        """
        write = Write(key, delete=True, expect=expect)
        return await self._writer().write((write,), Terms(None, fence, author, comment))

    def try_change(self, key: str, value: Json) -> Effect:
        """What `set(key, value)` would do in this process. Nothing is written."""
        return self._writer().effect_of(Write(key, value), self._subscribers)

    def override(self, key: str, value: Json) -> None:
        """Set `key` in this process alone, above every other layer."""
        (write,) = draft("", (Write(key, value),), MANY, None).writes
        self._override(with_value(self._overrides.tree, key, write.value))

    def drop_override(self, key: str) -> None:
        """Undo `override` of `key` and of everything below it."""
        self._override(without(self._overrides.tree, check_key(key)))

    def add_change_callback(self, callback: OnChange) -> Callable[[], None]:
        """Tell `callback` of every change. Returns the function that ends it.

        `callback(change)` is called once for each change of the whole (a
        `ConfigChange`); a function of three arguments, `callback(key, old, new)`, once
        for each key. Plain or async; each has a task of its own.
        """
        return self._subscribers.add(callback)

    def watch_config(self, key: str, callback: OnValue) -> ConfigWatcher:
        """Call `callback(value)` when what is at `key` changes. See `ConfigWatcher`."""
        return self._subscribers.watch(key, callback)

    def add_validator(self, validator: Validator) -> None:
        """Let `validator(snapshot)` refuse what must not be: it raises `ValueError`."""
        self._assembly.validate_with(validator)

    async def settled(self, within_s: float) -> bool:
        """Wait until every callback has been told; False if `within_s` ran out."""
        return await self._subscribers.settled(within_s)

    async def reload_config(self) -> tuple[str, ...]:
        """Look at every source now; returns the keys that changed.

        If one fails, the others are looked at all the same; then its error is raised.
        """
        before = self.snapshot
        await self._intake.look_at_all()
        return tuple(one.key for one in diff(before.tree, self.snapshot.tree))

    def stats(self) -> ConfigStats:
        """Counts since the start, and the state of every source."""
        return ConfigStats(
            snapshots=self.snapshot.number,
            changes=self._assembly.changes,
            published=self._publisher.published if self._publisher else 0,
            revision=self.snapshot.revision,
            keys=len(self.snapshot.paths),
            stale_since=self.stale_since,
            callbacks=self._subscribers.stats(),
            sources=self._intake.stats(),
        )

    def _writer(self) -> Publisher:
        if self._publisher is None:
            raise MissingCapability(
                "There is no shared store to write to.",
                "This manager was made without one.",
                "Make it with get_config_manager(url), or use override().",
            )
        return self._publisher

    def _override(self, tree: dict[str, Json]) -> None:
        self._overrides = Loaded(tree, "")
        self._put(Layer.OVERRIDE, self._overrides)

    def _put(self, layer: Layer, loaded: Loaded) -> None:
        self._assembly.put(Content(layer, 0, layer.words, loaded))
