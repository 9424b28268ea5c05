"""What a lock, a fenced resource and a versioned value are meant to be.

Models for the checker. Each says which operations it knows, with the arguments and
results that a history must carry. An operation with an open outcome has no result; the
model then allows whatever it may have done. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .history import Operation


class Holding(NamedTuple):
    """Who holds the lock, and the highest token granted for certain."""

    owner: str | None = None
    token: int = 0


class Mutex:
    """A lock that has one owner at a time and a token that only grows.

        acquire {"owner": o}   → the token
        release {"owner": o}   → True, or False if o was not the owner
        expire  {"owner": o}   → the server ended the hold

    A release may name the `token` of the hold that it ends.
    An owner is one hold, not one process. A lease without `expire` is no mutex: write
    one down, with an open outcome, for each hold that may have ended by itself, called
    at the earliest moment at which it may.
    """

    initial = Holding()

    def step(self, state: Holding, operation: Operation) -> Sequence[Holding]:
        owner = operation.args["owner"]
        if operation.f == "acquire":
            if state.owner is not None:
                return ()
            if not operation.is_known:
                return (Holding(owner, state.token),)
            token = int(operation.result)
            return (Holding(owner, token),) if token > state.token else ()
        if operation.f not in ("release", "expire"):
            raise _unknown(self, operation)
        if operation.is_known and operation.result is False:
            return (state,) if state.owner != owner else ()
        if self.is_over(state, operation):
            return ()
        return (Holding(None, state.token),) if state.owner == owner else ()

    def is_over(self, state: Holding, operation: Operation) -> bool:
        """Tokens only grow: what needs a lower one cannot be explained any more."""
        if not operation.is_known or operation.result is False:
            return False
        if operation.f == "acquire":
            return int(operation.result) <= state.token
        token = int(operation.args.get("token", state.token + 1))
        if token == state.token:
            return bool(state.owner != operation.args["owner"])
        return token < state.token


class Fenced(NamedTuple):
    """The value, and by which grant it was written."""

    value: Any = None
    token: int = 0
    owner: str | None = None


class FencedRegister:
    """A resource that refuses writers whose grant is over.

        write {"owner": o, "token": t, "value": v}   → True, or False if refused
        read                                         → the value

    A write is accepted if its token is above every accepted one, or the same with the
    same owner. Values must be hashable.
    """

    initial = Fenced()

    def step(self, state: Fenced, operation: Operation) -> Sequence[Fenced]:
        if operation.f == "read":
            right = not operation.is_known or operation.result == state.value
            return (state,) if right else ()
        if operation.f != "write":
            raise _unknown(self, operation)
        args = operation.args
        owner, token = args["owner"], int(args["token"])
        is_accepted = token > state.token or (
            token == state.token and owner == state.owner
        )
        if operation.is_known and bool(operation.result) != is_accepted:
            return ()
        return (Fenced(args["value"], token, owner),) if is_accepted else (state,)


class Versioned(NamedTuple):
    """A value and its version; if that is not certain, what it is at least."""

    value: Any = None
    version: int = 0
    is_certain: bool = True


class CasRegister:
    """A value whose version grows with each write, with compare-and-set.

        read                                → [value, version]
        write {"value": v}                  → the new version
        cas   {"value": v, "version": n}    → the new version, or None if refused

    Versions grow, but may skip numbers. Values must be hashable.
    """

    initial = Versioned()

    def step(self, state: Versioned, operation: Operation) -> Sequence[Versioned]:
        if operation.f == "read":
            return self._read(state, operation)
        if operation.f == "write":
            return self._write(state, operation)
        if operation.f == "cas":
            return self._cas(state, operation)
        raise _unknown(self, operation)

    def _read(self, state: Versioned, operation: Operation) -> Sequence[Versioned]:
        if not operation.is_known:
            return (state,)
        value, version = operation.result
        if value != state.value:
            return ()
        return self._at(state, version)

    def _write(self, state: Versioned, operation: Operation) -> Sequence[Versioned]:
        value = operation.args["value"]
        if not operation.is_known:
            return (Versioned(value, state.version + 1, is_certain=False),)
        version = int(operation.result)
        return (Versioned(value, version),) if version > state.version else ()

    def _cas(self, state: Versioned, operation: Operation) -> Sequence[Versioned]:
        expected = int(operation.args["version"])
        if operation.is_known and operation.result is None:
            # A version that is not certain may always be another one than expected.
            differs = not state.is_certain or expected != state.version
            return (state,) if differs else ()
        return [
            following
            for matching in self._at(state, expected)
            for following in self._write(matching, operation)
        ]

    def _at(self, state: Versioned, version: int) -> Sequence[Versioned]:
        """The state if its version is this one; what was open is certain then."""
        if state.is_certain:
            return (state,) if version == state.version else ()
        return (Versioned(state.value, version),) if version >= state.version else ()


def _unknown(model: object, operation: Operation) -> ValueError:
    return ValueError(f"{type(model).__name__} does not know {operation.f!r}")
