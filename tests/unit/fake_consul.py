"""A Consul of a few lines, beneath py-consul's calls, that can be told to fail.

It keeps keys, sessions and checks in memory, does transactions, and lets queries block
until the index has moved. `fail` lets the next request to a path raise instead of being
answered, before or after it has taken effect.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from quorate.core.errors import StoreRefused


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, as py-consul hands it to a callback."""

    code: int
    headers: dict[str, str]
    body: str


@dataclass(slots=True)
class Fault:
    """What the next request to a path suffers."""

    path: str
    error: Exception
    before: bool


@dataclass
class FakeConsul:
    """Stands in for `ConsulClient`; its `http` is itself."""

    index: int = 10
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    faults: deque[Fault] = field(default_factory=deque)
    answers: dict[str, Told] = field(default_factory=dict)
    unseen_checks: int = 0
    is_closed: bool = False
    _moved: asyncio.Condition = field(default_factory=asyncio.Condition)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def http(self) -> FakeConsul:
        return self

    def prepare_headers(self) -> dict[str, str]:
        return {}

    async def close(self) -> None:
        self.is_closed = True

    def fail(self, path: str, error: Exception, *, before: bool = True) -> None:
        self.faults.append(Fault(path, error, before))

    def count(self, method: str, path: str) -> int:
        return sum(m == method and p.startswith(path) for m, p in self.asked)

    async def get(
        self,
        callback: Callable[[Told], Any],
        path: str,
        params: list[tuple[str, str]] | None = None,
        headers: dict[str, str] | None = None,
        connections_timeout: float | None = None,
    ) -> Any:
        self._suffer(path, before=True)
        self.asked.append(("GET", path))
        given = dict(params or ())
        since = int(given.get("index", 0))
        if since:
            await self._wait(path, since)
        told = self.answers.get(path) or self._read(path, given)
        self._suffer(path, before=False)
        return callback(told)

    async def put(
        self,
        callback: Callable[[Told], Any],
        path: str,
        params: list[tuple[str, str]] | None = None,
        data: str = "",
        headers: dict[str, str] | None = None,
    ) -> Any:
        self._suffer(path, before=True)
        self.asked.append(("PUT", path))
        await asyncio.sleep(0)
        told = self.answers.get(path) or self._write(path, data)
        async with self._moved:
            self._moved.notify_all()
        self._suffer(path, before=False)
        return callback(told)

    async def change(self, path: str, data: object) -> None:
        """Somebody else does something."""
        self._write(path, json.dumps(data))
        async with self._moved:
            self._moved.notify_all()

    async def _wait(self, path: str, since: int) -> None:
        async with self._moved:
            await self._moved.wait_for(lambda: self._index_of(path) > since)

    def _index_of(self, path: str) -> int:
        if path.startswith("/v1/kv/"):
            entry = self.keys.get(path.removeprefix("/v1/kv/"))
            return entry["ModifyIndex"] if entry else self.index
        session = self.sessions.get(path.rpartition("/")[2])
        return session["ModifyIndex"] if session else self.index

    def _read(self, path: str, given: dict[str, str]) -> Told:
        head = {"X-Consul-Index": str(self._index_of(path))}
        if path.startswith("/v1/kv/"):
            key = path.removeprefix("/v1/kv/")
            prefix = key if "recurse" in given else None
            found = [
                entry
                for name, entry in sorted(self.keys.items())
                if name == key or (prefix is not None and name.startswith(prefix))
            ]
            return Told(200 if found else 404, head, json.dumps(found) if found else "")
        ident = path.rpartition("/")[2]
        return Told(
            200,
            head,
            json.dumps([self.sessions[ident]] if ident in self.sessions else []),
        )

    def _write(self, path: str, data: str) -> Told:
        said = json.loads(data) if data else None
        last = unquote(path.rpartition("/")[2])
        if path == "/v1/txn":
            return self._transact(said)
        if path == "/v1/agent/service/register":
            self.checks[said["Check"]["CheckID"]] = said["Check"]["Status"]
        elif path.startswith("/v1/agent/service/deregister/"):
            self.checks.pop(f"{last}:lease", None)
        elif path.startswith("/v1/agent/check/pass/"):
            if last not in self.checks:
                return Told(404, {}, f'Unknown check ID "{last}"')
            self.checks[last] = "passing"
        elif path == "/v1/session/create":
            return self._create(said)
        elif path.startswith("/v1/session/renew/"):
            return Told(200 if last in self.sessions else 404, {}, "[]")
        elif path.startswith("/v1/session/destroy/"):
            self.end(last)
        return Told(200, {}, "")

    def _create(self, said: dict[str, Any]) -> Told:
        if self.unseen_checks:
            self.unseen_checks -= 1
            raise StoreRefused("refused", "500 Missing check 'x' registration")
        self.index += 1
        ident = f"session-{next(self._ids)}"
        self.sessions[ident] = {"ID": ident, "ModifyIndex": self.index, **said}
        return Told(200, {}, json.dumps({"ID": ident}))

    def end(self, ident: str) -> None:
        """The session is over, and what it has locked is gone."""
        if self.sessions.pop(ident, None) is None:
            return
        self.index += 1
        for key in [k for k, e in self.keys.items() if e.get("Session") == ident]:
            del self.keys[key]

    def _transact(self, steps: list[dict[str, Any]]) -> Told:
        before, index = dict(self.keys), self.index
        self.index += 1
        results: list[dict[str, Any]] = []
        for at, step in enumerate(steps):
            why = self._step(step["KV"], results)
            if why:
                self.keys, self.index = before, index
                errors = {"Results": None, "Errors": [{"OpIndex": at, "What": why}]}
                return Told(409, {}, json.dumps(errors))
        return Told(200, {}, json.dumps({"Results": results, "Errors": None}))

    def _step(self, op: dict[str, Any], results: list[dict[str, Any]]) -> str:
        key, old = op["Key"], self.keys.get(op["Key"])
        match op["Verb"]:
            case "check-not-exists":
                return f"key {key} exists" if old else ""
            case "get":
                results += [{"KV": old}] if old else []
                return "" if old else f"key {key} doesn't exist"
            case "get-tree":
                found = [e for k, e in sorted(self.keys.items()) if k.startswith(key)]
                results += [{"KV": entry} for entry in found]
            case "delete":
                self.keys.pop(key, None)
            case "lock":
                if op["Session"] not in self.sessions:
                    return "invalid session"
                if old and old.get("Session") != op["Session"]:
                    return "lock is held"
                self.keys[key] = entry = {
                    "Key": key,
                    "Value": op.get("Value"),
                    "Flags": op.get("Flags", 0),
                    "Session": op["Session"],
                    "CreateIndex": old["CreateIndex"] if old else self.index,
                    "ModifyIndex": self.index,
                }
                results.append({"KV": {**entry, "Value": None}})
        return ""

    def _suffer(self, path: str, *, before: bool) -> None:
        for fault in self.faults:
            if path.startswith(fault.path) and fault.before == before:
                self.faults.remove(fault)
                raise fault.error

    def values(self, prefix: str) -> list[str]:
        """What the keys hold, for looking in."""
        return [
            base64.b64decode(entry["Value"] or "").decode()
            for key, entry in sorted(self.keys.items())
            if key.startswith(prefix)
        ]
