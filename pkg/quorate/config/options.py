"""What a manager is told once, and what it tells of itself. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quorate.watch.callbacks import CallbackStats

from .model import Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigOptions:
    """How a manager reads its sources.

    `environ` are the variables that fill `${…}` in files and override keys: those that
    begin with `prefix` and hold `__`, and the `short_names`. `kinds` declares types of
    keys. In `data_dir` the last known good content of network sources is kept, under
    the name of `owner`; empty keeps none. The store has `start_within_s` to answer.
    """

    environment: str = "development"
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    prefix: str = "QUORATE_"
    short_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kinds: Mapping[str, type] = field(default_factory=dict)
    data_dir: str = ""
    owner: str = "quorate"
    start_within_s: float = 5.0


@dataclass(frozen=True, slots=True)
class SourceStats:
    """One source: how often it failed, and since when it fails now (wall time)."""

    name: str
    layer: Layer
    failures: int
    failing_since: float | None


@dataclass(frozen=True, slots=True)
class ConfigStats:
    """Counts since the start, and the state as of now."""

    snapshots: int
    changes: int
    published: int
    revision: int
    keys: int
    stale_since: float | None
    callbacks: CallbackStats
    sources: tuple[SourceStats, ...]
