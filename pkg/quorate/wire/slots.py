"""Which node of a Cluster has which slot, and what its redirections say.

A key's slot is CRC16 of its hash tag, modulo 16384 (Redis Cluster specification).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot

from .fleet_urls import Spot

NOBODY = ""


def slot_of(key: str) -> int:
    """The slot in which `key` lies."""
    return key_slot(key.encode())


@lru_cache(maxsize=4096)
def place_of(key: str) -> tuple[int, str]:
    """The slot of `key`, and the guard in it. Scripts have few first keys: tags."""
    return slot_of(key), guard_of(key)


def tag_of(key: str) -> str:
    """The hash tag of `key`, braces included; empty if it has none."""
    start = key.find("{")
    end = key.find("}", start + 2)
    return key[start : end + 1] if 0 <= start < end else ""


def guard_of(key: str) -> str:
    """A key in the same slot that nobody ever writes.

    While a slot is being moved key by key, a script that finds one of its keys gone to
    the other node would fail half-way, and one that finds none would begin anew beside
    the old ones. A declared key that is missing on both sides makes both nodes answer
    TRYAGAIN or ASK before the script begins, until the move is over.
    """
    return f"{tag_of(key) or key}:?"


@dataclass(frozen=True, slots=True)
class SlotMap:
    """A node, as `host:port`, for each slot; `NOBODY` where none is known."""

    nodes: tuple[str, ...] = (NOBODY,) * SLOTS
    replicas: frozenset[str] = frozenset()

    def owner(self, slot: int) -> str:
        return self.nodes[slot]

    @property
    def owners(self) -> frozenset[str]:
        """Every node that serves a slot."""
        return frozenset(self.nodes) - {NOBODY}

    def moved(self, slot: int, node: str) -> SlotMap:
        """The same with one slot elsewhere."""
        nodes = (*self.nodes[:slot], node, *self.nodes[slot + 1 :])
        return SlotMap(nodes, self.replicas)


def read_slots(rows: Sequence[Any], asked: Spot) -> SlotMap:
    """What CLUSTER SLOTS answered; a node without a host is the one that was asked."""
    nodes = [NOBODY] * SLOTS
    replicas: set[str] = set()
    for first, last, master, *others in rows:
        spot = _spot(master, asked)
        nodes[first : last + 1] = [str(spot)] * (last + 1 - first)
        replicas.update(str(_spot(other, asked)) for other in others)
    return SlotMap(tuple(nodes), frozenset(replicas))


def _spot(node: Sequence[Any], asked: Spot) -> Spot:
    host = node[0].decode() if node[0] else ""
    return Spot(host if host and host != "?" else asked.host, int(node[1]))


@dataclass(frozen=True, slots=True)
class Redirection:
    """What a node says when a call is not for it. It has not done it."""

    kind: Literal["moved", "ask", "again"]
    slot: int = -1
    node: str = NOBODY


def read_redirection(said: str, asked: Spot) -> Redirection | None:
    """The redirection in an error reply; None if it is a plain error."""
    match said.split():
        case ["MOVED" | "ASK" as code, slot, where, *_]:
            host, _, port = where.rpartition(":")
            spot = Spot(host if host not in ("", "?") else asked.host, int(port))
            return Redirection(
                "moved" if code == "MOVED" else "ask", int(slot), str(spot)
            )
        case ["TRYAGAIN", *_]:
            return Redirection("again")
    return None


def spot_of(node: str) -> Spot:
    """Host and port of a node's name."""
    host, _, port = node.rpartition(":")
    return Spot(host.strip("[]"), int(port))


def spread(nodes: Iterable[str], last: Iterable[str]) -> list[str]:
    """`nodes` in order, those of `last` behind the others."""
    late = set(last)
    each = list(dict.fromkeys(nodes))
    return [n for n in each if n not in late] + [n for n in each if n in late]
