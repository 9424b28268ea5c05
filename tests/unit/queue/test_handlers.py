"""Handlers by name, and what is refused as one."""

from __future__ import annotations

import functools

import pytest

from quorate.core.errors import InvalidInput
from quorate.queue.handlers import Handlers
from quorate.queue.patience import RetryPolicy


async def plain(payload):
    return payload


async def with_context(payload, context):
    return context


async def with_default_context(payload, context=None):
    return context


async def with_option(payload, verbose=False):
    return verbose


def in_a_thread(payload):
    return payload


class Callable:
    async def __call__(self, payload, context):
        return payload


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


@pytest.mark.parametrize(
    ("function", "is_async", "takes_context"),
    [
        (plain, True, False),
        (with_context, True, True),
        (with_default_context, True, True),
        (with_option, True, False),
        (in_a_thread, False, False),
        (Callable(), True, True),
        (functools.partial(with_option, verbose=True), True, False),
        (len, False, False),
        (print, False, False),
    ],
)
def test_the_kind_of_a_handler_is_told_by_its_signature(
    handlers, function, is_async, takes_context
):
    handler = handlers.add("a", function)

    assert (handler.is_async, handler.takes_context) == (is_async, takes_context)
    assert handlers.find("a") is handler


def test_options_are_kept_and_names_listed(handlers):
    policy = RetryPolicy(2)
    handlers.add("a", plain, timeout_s=3.0, retry=policy)
    handlers.add("b", in_a_thread)

    assert handlers.names == ("a", "b")
    assert (handlers.find("a").timeout_s, handlers.find("a").retry) == (3.0, policy)
    assert handlers.find("c") is None


def test_registering_the_same_again_is_harmless_and_another_is_refused(handlers):
    handlers.add("a", plain)
    handlers.add("a", plain)

    with pytest.raises(InvalidInput, match="has a handler already"):
        handlers.add("a", in_a_thread)


@pytest.mark.parametrize("timeout_s", [0, -1, float("inf")])
def test_a_limit_that_is_none_is_refused(handlers, timeout_s):
    with pytest.raises(InvalidInput, match="limit"):
        handlers.add("a", plain, timeout_s=timeout_s)


@pytest.mark.parametrize("name", ["", " a", "a\n", 7])
def test_a_bad_name_is_refused(handlers, name):
    with pytest.raises(InvalidInput):
        handlers.add(name, plain)


def test_what_cannot_be_called_is_refused(handlers):
    with pytest.raises(InvalidInput, match="cannot be called"):
        handlers.add("a", "app.tasks:send")


def test_references_name_functions_of_modules(handlers):
    handlers.add("a", plain)

    assert handlers.references() == {"a": f"{__name__}:plain"}
