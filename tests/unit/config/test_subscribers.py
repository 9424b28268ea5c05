"""Callbacks hear of what differs for them, in tasks of their own."""

from __future__ import annotations

import asyncio

import pytest

from quorate.config.assembly import Assembly
from quorate.config.layers import Content
from quorate.config.model import Layer, Loaded
from quorate.config.subscribers import Subscribers
from quorate.core.errors import InvalidInput, InvalidName
from quorate.core.events import silent
from quorate.watch.events import CallbackFailed


class Scene:
    """An assembly with one source, and who listens to it."""

    def __init__(self, emit=silent) -> None:
        self.assembly = Assembly({}, emit)
        self.subscribers = Subscribers(self.assembly, emit)

    def put(self, tree: dict) -> None:
        self.assembly.put(Content(Layer.FILE, 0, "file", Loaded(tree, "")))

    async def settled(self) -> None:
        assert await self.subscribers.settled(5)


@pytest.fixture
async def scene():
    scene = Scene()
    scene.put({"a": {"b": 1, "c": 2}, "d": [1]})
    scene.subscribers.open()
    yield scene
    await scene.subscribers.close()


async def test_a_callback_of_one_argument_gets_the_change(scene):
    told = []
    scene.subscribers.add(told.append)

    scene.put({"a": {"b": 5}, "e": 1})
    await scene.settled()

    (change,) = told
    assert change.keys == ("a.b", "a.c", "d", "e")
    assert change.old.paths["a.b"] == 1
    assert change.new.paths["a.b"] == 5
    assert change.revision == 0


async def test_a_callback_of_three_arguments_gets_each_key(scene):
    told = []

    async def on_change(key, old, new):
        told.append((key, old, new))

    scene.subscribers.add(on_change)
    scene.put({"a": {"b": 5, "c": 2}})
    await scene.settled()

    assert told == [("a.b", 1, 5), ("d", [1], None)]


@pytest.mark.parametrize(
    "callback",
    [
        lambda _change: None,
        lambda _change, _extra=1: None,
        lambda *_args: None,
        lambda _key, _old, _new: None,
        lambda _key, _old, _new, _extra=None: None,
        print,
    ],
)
async def test_callables_of_many_shapes_are_called(callback, heard):
    scene = Scene(heard.emit)
    scene.subscribers.open()
    scene.subscribers.add(callback)

    scene.put({"a": 1})
    await scene.settled()

    assert heard.count(CallbackFailed) == 0
    assert scene.subscribers.stats().called >= 1


def test_what_cannot_be_called_is_refused():
    with pytest.raises(InvalidInput, match="cannot be called"):
        Scene().subscribers.add("nothing")  # type: ignore[arg-type]


async def test_a_callback_that_raises_harms_nobody_and_is_told_by_its_name(heard):
    scene = Scene(heard.emit)
    scene.subscribers.open()
    told = []

    def fails(change):
        raise RuntimeError("no")

    scene.subscribers.add(fails)
    scene.subscribers.add(lambda change: told.append(change.keys))
    scene.subscribers.watch("a", fails)

    scene.put({"a": 1})
    await scene.settled()

    assert told == [("a",)]
    assert len(heard.all(CallbackFailed)) == 2
    assert all("fails" in event.callback for event in heard.all(CallbackFailed))


async def test_a_slow_callback_hears_several_changes_as_one_and_the_last_value(scene):
    gate, told = asyncio.Event(), []

    async def slow(change):
        await gate.wait()
        told.append((change.keys, change.new.paths.get("x")))

    scene.subscribers.add(slow)
    scene.put({"x": 0})
    await asyncio.sleep(0)
    for number in range(1, 1000):
        scene.put({"x": number, f"k{number}": 1})
    gate.set()
    await scene.settled()

    assert told[0] == (("a.b", "a.c", "d", "x"), 0)
    assert told[1] == (("k999", "x"), 999)
    assert len(told) == 2


async def test_nobody_is_told_before_opening_and_then_of_everything_as_one():
    scene = Scene()
    told = []
    scene.subscribers.add(lambda change: told.append(change.keys))
    scene.put({"a": 1})
    scene.put({"a": 1, "b": 2})
    assert told == []

    scene.subscribers.open()
    await scene.settled()

    assert told == [("a", "b")]


async def test_who_has_left_hears_nothing(scene):
    told = []
    leave = scene.subscribers.add(told.append)
    watcher = scene.subscribers.watch("a.b", told.append)
    leave()
    watcher.close()
    watcher.close()

    scene.put({"a": {"b": 9}})
    await scene.settled()

    assert told == []
    assert scene.subscribers.interested(("a.b",)) == ()


async def test_a_watch_of_a_value_gets_the_value(scene):
    told = []
    watcher = scene.subscribers.watch("a.b", told.append)
    assert watcher.last_value == 1

    scene.put({"a": {"b": 5, "c": 2}})
    await scene.settled()
    scene.put({"a": {"b": 5, "c": 3}})
    await scene.settled()
    scene.put({})
    await scene.settled()
    scene.put({"a": {"b": 6}})
    await scene.settled()

    assert told == [5, None, 6]
    assert watcher.last_value == 6
    assert watcher.key == "a.b"


async def test_a_value_that_is_null_differs_from_one_that_is_gone(scene):
    told = []
    scene.put({"n": None})
    scene.subscribers.watch("n", told.append)

    scene.put({})
    await scene.settled()

    assert told == [None]


async def test_a_watch_of_a_section_gets_the_section(scene):
    told = []

    async def on_section(value):
        told.append(value)
        value["mine"] = True

    scene.subscribers.watch("a", on_section)
    scene.put({"a": {"b": 5, "c": 2}, "d": 7})
    await scene.settled()

    assert told == [{"b": 5, "c": 2, "mine": True}]
    assert scene.assembly.snapshot.paths["a"] == {"b": 5, "c": 2}


async def test_a_watch_with_a_pattern_gets_all_keys_that_match(scene):
    told = []
    scene.subscribers.watch("a.*", told.append)

    scene.put({"a": {"b": 5, "x": 1, "deep": {"y": 1}}})
    await scene.settled()

    assert told == [{"a.b": 5, "a.x": 1}]


@pytest.mark.parametrize(
    ("pattern", "keys", "reached"),
    [
        ("a", ("a.b",), True),
        ("a.b", ("a.b",), True),
        ("a.b", ("a.c",), False),
        ("a", ("ab",), False),
        ("a.*", ("a.b",), True),
        ("**", ("x.y.z",), True),
    ],
)
async def test_it_is_known_whom_a_change_would_reach(scene, pattern, keys, reached):
    scene.subscribers.watch(pattern, print)

    assert scene.subscribers.interested(keys) == ((pattern,) if reached else ())


async def test_a_pattern_that_is_none_is_refused(scene):
    with pytest.raises((InvalidInput, InvalidName)):
        scene.subscribers.watch("a..b", print)
