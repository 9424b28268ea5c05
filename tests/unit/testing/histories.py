"""Histories for the tests of the checkers: by hand, or simulated with chance."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import permutations
from typing import Any, TypeVar

from quorate.core.clock import Chance
from quorate.testing.checker import Model
from quorate.testing.history import Operation
from quorate.testing.models import CasRegister, FencedRegister, Mutex
from quorate.testing.shared_models import ReadersWriter, Semaphore

S = TypeVar("S", bound=Hashable)


def op(
    f: str, called: int, returned: int | None, result: Any = None, **args: Any
) -> Operation:
    """An operation from `called` to `returned`; None leaves its outcome open."""
    return Operation(f, args, result, called, returned, args.get("owner", ""))


def brute_force(operations: Sequence[Operation], model: Model[S]) -> bool:
    """The same judgement by trying every order of every choice of open operations."""
    known = [one for one in operations if one.is_known]
    open_ = [one for one in operations if not one.is_known]
    for mask in range(2 ** len(open_)):
        chosen = known + [one for bit, one in enumerate(open_) if mask >> bit & 1]
        if any(_explains(order, model) for order in permutations(chosen)):
            return True
    return False


def _explains(order: Sequence[Operation], model: Model[S]) -> bool:
    for at, later in enumerate(order):
        if any(
            later.returned_ns is not None and later.returned_ns < earlier.called_ns
            for earlier in order[:at]
        ):
            return False
    states = {model.initial}
    for one in order:
        states = {after for state in states for after in model.step(state, one)}
    return bool(states)


def random_history(model: Model[Any], chance: Chance, length: int) -> list[Operation]:
    """A small history of several clients: right by the model, or spoilt a little.

    The thing is simulated one step at a time; each step is given a random interval
    around its moment. Then, at times, a result or a moment is changed.
    """
    state = model.initial
    history: list[Operation] = []
    for moment in range(length):
        called = moment * 10 - chance.randrange(0, 35)
        returned: int | None = moment * 10 + chance.randrange(0, 35)
        for _ in range(20):
            candidate = _random_operation(model, chance, called, moment)
            if after := model.step(state, candidate):
                state = chance.choice(after)
                if chance.random() < 0.15:
                    returned = None
                history.append(
                    op(
                        candidate.f,
                        called,
                        returned,
                        candidate.result if returned is not None else None,
                        **candidate.args,
                    )
                )
                break
    if history and chance.random() < 0.7:
        for _ in range(chance.randrange(1, 4)):
            _spoil(history, model, chance)
    return history


def _spoil(history: list[Operation], model: Model[Any], chance: Chance) -> None:
    at = chance.randrange(len(history))
    spoilt = history[at]
    other = _random_operation(model, chance, spoilt.called_ns, at)
    result = other.result if spoilt.is_known else None
    args = other.args if other.f == spoilt.f else spoilt.args
    called, returned = spoilt.called_ns, spoilt.returned_ns
    history[at] = op(spoilt.f, called, returned, _fit(spoilt, result), **args)


def _fit(operation: Operation, result: Any) -> Any:
    """A result that this kind of operation can have at all."""
    kinds = {
        "acquire": int,
        "release": bool,
        "expire": bool,
        "read": object,
        "write": object,
        "cas": object,
    }
    if type(result) is not type(operation.result):
        return operation.result
    return result if isinstance(result, kinds[operation.f]) else operation.result


def _random_operation(
    model: Model[Any], chance: Chance, called: int, moment: int
) -> Operation:
    owner = chance.choice("abc")
    small = chance.randrange(1, 4)
    if isinstance(model, Mutex):
        f = chance.choice(["acquire", "release", "expire"])
        result: Any = (
            chance.randrange(1, 8) if f == "acquire" else chance.random() < 0.8
        )
        if f == "release" and chance.random() < 0.5:
            return op(f, called, called + 1, result, owner=owner, token=small)
        return op(f, called, called + 1, result, owner=owner)
    if isinstance(model, (Semaphore, ReadersWriter)):
        f = chance.choice(["acquire", "acquire", "release", "expire"])
        if f != "acquire":
            return op(f, called, called + 1, chance.random() < 0.8, owner=owner)
        if isinstance(model, Semaphore):
            return op(f, called, called + 1, small, owner=owner, weight=small)
        token, shared = chance.randrange(1, 8), chance.random() < 0.6
        return op(f, called, called + 1, token, owner=owner, shared=shared)
    if isinstance(model, FencedRegister):
        if chance.random() < 0.4:
            return op("read", called, called + 1, chance.choice([None, 1, 2, 3]))
        accepted = chance.random() < 0.6
        return op(
            "write", called, called + 1, accepted, owner=owner, token=small, value=small
        )
    assert isinstance(model, CasRegister)
    f = chance.choice(["read", "write", "cas"])
    version = chance.randrange(0, 6)
    if f == "read":
        value = chance.choice([None, 1, 2, 3])
        return op("read", called, called + 1, [value, version])
    if f == "write":
        return op("write", called, called + 1, version, value=small)
    refused = chance.random() < 0.3
    return op(
        "cas",
        called,
        called + 1,
        None if refused else version,
        value=small,
        version=chance.randrange(0, 6),
    )
