"""What the rooms ask of a Consul: transactions, folders, and waiting for a change.

A transaction is one request and happens whole or not at all. A blocking query returns
when a key is no longer as it was; it is only ever a hint, after which one looks again.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from quorate.core.errors import StoreRefused

Answer: TypeAlias = Any
"""What py-consul hands its callbacks: code, headers and body."""

SPREAD = 1 / 16
"""Consul waits up to so much longer, so that not all queries end at once."""

REPLY_S = 5.0
CONSISTENT = ("consistent", "1")
"""Without it a server that has just been started answers from before its restart."""

RIGHTS = (
    "The token needs key_prefix write, session_prefix write and service_prefix write. "
    "It stands before the @ of the URL."
)


class Client(Protocol):
    """What is used of py-consul's client; see consul_http."""

    http: Any

    def prepare_headers(self) -> dict[str, str]: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A key as Consul keeps it. `session` is "" when nobody has locked it.

    `created` is the place in Consul's log at which it came to be: it never runs
    backwards and is never given twice, not even when the key is removed in between.
    """

    key: str
    value: bytes
    flags: int
    session: str
    created: int
    modified: int


@dataclass(frozen=True, slots=True)
class Op:
    """One step of a transaction, in Consul's words (`lock`, `delete`, `get-tree`)."""

    verb: str
    key: str
    value: bytes = b""
    flags: int = 0
    session: str = ""

    def document(self) -> dict[str, dict[str, object]]:
        """As Consul reads it."""
        step: dict[str, object] = {"Verb": self.verb, "Key": self.key}
        if self.session:
            step["Session"] = self.session
        if self.value or self.flags:
            step["Value"] = base64.b64encode(self.value).decode()
            step["Flags"] = self.flags
        return {"KV": step}


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing of a transaction was done, because of its step number `at`."""

    at: int
    why: str


@dataclass(frozen=True, slots=True)
class ConsulStats:
    """Counts since the start: requests sent, and those that are not answered yet."""

    requests: int
    pending: int


class ConsulCalls:
    """Requests to one Consul from one event loop. All raise the store errors."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._requests = self._pending = 0

    def stats(self) -> ConsulStats:
        return ConsulStats(self._requests, self._pending)

    async def txn(self, ops: Sequence[Op]) -> list[Entry] | Refused:
        """Do all steps, in one request. What they read or wrote, in their order.

        Raises `OutcomeUnknown` if no answer comes: it may have happened.
        """
        return await self._send(  # type: ignore[no-any-return]
            self.client.http.put(
                _outcome,
                "/v1/txn",
                data=json.dumps([op.document() for op in ops]),
                headers=self.client.prepare_headers(),
            )
        )

    async def folder(self, prefix: str) -> list[Entry]:
        """All keys that begin with `prefix`, with their values."""
        return await self._send(  # type: ignore[no-any-return]
            self.client.http.get(
                _entries,
                f"/v1/kv/{prefix}",
                params=[CONSISTENT, ("recurse", "1")],
                headers=self.client.prepare_headers(),
            )
        )

    async def look(
        self, path: str, since: int = 0, within_s: float = 0.0
    ) -> tuple[int, Answer]:
        """What is there, and the index to look on from; None for nothing.

        With `since` it first waits until that is no longer so, for up to `within_s` and
        a sixteenth. An index that runs backwards becomes 0, as Consul asks for.
        """
        wait_s = math.ceil(within_s)
        waiting = [("index", str(since)), ("wait", f"{wait_s}s")] if since else []
        index, found = await self._send(
            self.client.http.get(
                _indexed,
                path,
                params=[CONSISTENT, *waiting],
                headers=self.client.prepare_headers(),
                connections_timeout=wait_s * (1 + SPREAD) + REPLY_S if since else None,
            )
        )
        return (index if index >= since else 0), found

    async def put(self, path: str, body: object = None, **given: str) -> Answer:
        """A plain PUT; the decoded answer, or None for nothing or a 404."""
        return await self._send(
            self.client.http.put(
                _document,
                path,
                params=list(given.items()),
                data="" if body is None else json.dumps(body),
                headers=self.client.prepare_headers(),
            )
        )

    async def done(self, path: str, **given: str) -> bool:
        """A plain PUT; False if what it names is not there."""
        return await self._send(  # type: ignore[no-any-return]
            self.client.http.put(
                _is_there,
                path,
                params=list(given.items()),
                headers=self.client.prepare_headers(),
            )
        )

    async def close(self) -> None:
        await self.client.close()

    async def _send(self, request: Any) -> Any:
        self._requests += 1
        self._pending += 1
        try:
            return await request
        except (ValueError, KeyError, TypeError) as error:
            raise StoreRefused(
                "Consul's answer cannot be read.",
                f"200 {type(error).__name__}: {error}",
            ) from error
        finally:
            self._pending -= 1


def _outcome(answer: Answer) -> list[Entry] | Refused:
    said = json.loads(answer.body)
    if answer.code == 409:
        first = said["Errors"][0]
        if "ermission denied" in first["What"]:
            raise StoreRefused(
                "Consul refused a transaction.", f"403 {first['What']}", RIGHTS
            )
        return Refused(int(first["OpIndex"]), str(first["What"]))
    return [_entry(result["KV"]) for result in said["Results"] or ()]


def _entries(answer: Answer) -> list[Entry]:
    return [] if answer.code == 404 else [_entry(e) for e in json.loads(answer.body)]


def _indexed(answer: Answer) -> tuple[int, Answer]:
    index = int(answer.headers.get("X-Consul-Index") or 0)
    return max(1, index), _document(answer)


def _is_there(answer: Answer) -> bool:
    return bool(answer.code != 404)


def _document(answer: Answer) -> Answer:
    if answer.code == 404 or not answer.body.strip():
        return None
    return json.loads(answer.body)


def _entry(said: dict[str, Any]) -> Entry:
    return Entry(
        key=str(said["Key"]),
        value=base64.b64decode(said.get("Value") or ""),
        flags=int(said.get("Flags") or 0),
        session=str(said.get("Session") or ""),
        created=int(said["CreateIndex"]),
        modified=int(said["ModifyIndex"]),
    )
