"""Puts what the sources gave together, and swaps the whole in at once.

A new snapshot is built aside; if it does not fit together, or a validator refuses it,
the old one stays and nobody saw anything else. Only then is one reference swapped and
are the listeners told. Belongs to one event loop; reading is safe from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from quorate.core.errors import ConfigInvalid
from quorate.core.events import Emit

from .diff import KeyChange, diff
from .events import ConfigChanged
from .layers import EMPTY, Content, Kinds, Snapshot, combine

Validator = Callable[[Snapshot], None]
"""Raises `ValueError` for a snapshot that must not come into force."""


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """From one snapshot to a later one: what a callback is told."""

    changes: tuple[KeyChange, ...]
    old: Snapshot
    new: Snapshot

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys whose values differ."""
        return tuple(change.key for change in self.changes)

    @property
    def revision(self) -> int:
        """The store's revision in the new snapshot."""
        return self.new.revision


class Assembly:
    """The sources' contents and the snapshot that they make."""

    def __init__(self, kinds: Kinds, emit: Emit) -> None:
        self._kinds = kinds
        self._emit = emit
        self._contents: dict[str, Content] = {}
        self._validators: list[Validator] = []
        self._listeners: list[Callable[[], None]] = []
        self.snapshot = EMPTY
        self.changes = 0

    def validate_with(self, validator: Validator) -> None:
        """Let `validator` judge every snapshot from now on, the present one first."""
        _judge(validator, self.snapshot)
        self._validators.append(validator)

    @property
    def judges(self) -> bool:
        """Whether there are validators."""
        return bool(self._validators)

    def on_swap(self, told: Callable[[], None]) -> None:
        """Call `told`, which must be quick, after every swap."""
        self._listeners.append(told)

    def content_of(self, source: str) -> Content | None:
        """What `source` gave last."""
        return self._contents.get(source)

    def put(self, *contents: Content) -> tuple[str, ...]:
        """Take in what sources gave, all in one swap. Returns the keys that changed.

        Raises `ConfigInvalid` if the whole is not accepted; then nothing has changed.
        """
        wanted = self.with_contents(*contents)
        candidate = self.preview(wanted)
        self._contents = wanted
        return self._swap(candidate, ", ".join(content.source for content in contents))

    def with_contents(self, *contents: Content) -> dict[str, Content]:
        """The contents as if these were put. A new source comes after those there."""
        wanted = dict(self._contents)
        for content in contents:
            known = wanted.get(content.source)
            order = known.order if known else len(wanted)
            wanted[content.source] = replace(content, order=order)
        return wanted

    def preview(self, contents: Mapping[str, Content]) -> Snapshot:
        """The snapshot that `contents` would make. Raises `ConfigInvalid`."""
        known = (content.loaded.revision for content in contents.values())
        candidate = combine(
            contents.values(),
            self._kinds,
            number=self.snapshot.number + 1,
            revision=max((number for number in known if number is not None), default=0),
        )
        for validator in self._validators:
            _judge(validator, candidate)
        return candidate

    def _swap(self, candidate: Snapshot, source: str) -> tuple[str, ...]:
        changes = diff(self.snapshot.tree, candidate.tree)
        self.snapshot = candidate
        if not changes:
            return ()
        self.changes += 1
        keys = tuple(change.key for change in changes)
        self._emit(
            ConfigChanged(
                keys=keys,
                source=source,
                revision=candidate.revision,
                number=candidate.number,
            )
        )
        for told in self._listeners:
            told()
        return keys


def _judge(validator: Validator, snapshot: Snapshot) -> None:
    try:
        validator(snapshot)
    except ConfigInvalid:
        raise
    except ValueError as error:
        raise ConfigInvalid(
            "The configuration was refused by a validator.", str(error)
        ) from error
