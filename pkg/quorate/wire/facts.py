"""What a server says of itself, and whether it may be trusted with locks.

A server that is too old or that evicts keys would lose locks later, so it is refused
when the wire is opened.
"""

from __future__ import annotations

from dataclasses import dataclass

from quorate.core.errors import MissingCapability, StoreRefused, StoreUnavailable
from quorate.core.events import Emit

from .events import EvictionFeared

OLDEST = {"redis": (7, 0), "valkey": (7, 2)}


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the server says of itself."""

    software: str
    version: tuple[int, ...]
    run_id: str
    eviction: str
    role: str = "master"
    in_cluster: bool = False
    replicas: tuple[tuple[str, int], ...] = ()

    @property
    def version_text(self) -> str:
        return ".".join(map(str, self.version))


def read_facts(info: str) -> ServerFacts:
    """What matters in the text of INFO."""
    found = dict(
        line.strip().split(":", 1) for line in info.splitlines() if ":" in line
    )
    software = found.get("server_name", "redis")
    version = found.get(f"{software}_version") or found.get("redis_version", "0")
    return ServerFacts(
        software=software,
        version=tuple(int(part) for part in version.split(".") if part.isdigit()),
        run_id=found.get("run_id", ""),
        eviction=found.get("maxmemory_policy", "noeviction"),
        role=found.get("role", "master"),
        in_cluster=found.get("cluster_enabled", "0") == "1",
        replicas=tuple(_replicas(found)),
    )


def _replicas(found: dict[str, str]) -> list[tuple[str, int]]:
    """Host and port of each `slave0:ip=10.0.0.7,port=6379,state=online,…`."""
    spots = []
    for number in range(int(found.get("connected_slaves", "0"))):
        row = found.get(f"slave{number}", "")
        said = dict(pair.split("=", 1) for pair in row.split(",") if "=" in pair)
        if said.get("ip") and said.get("port", "").isdigit():
            spots.append((said["ip"], int(said["port"])))
    return spots


def check_fit(facts: ServerFacts, shown: str, emit: Emit) -> None:
    """Refuse a server that is too old, or that evicts what it was given to keep."""
    oldest = OLDEST.get(facts.software, OLDEST["redis"])
    if facts.version < oldest:
        raise MissingCapability(
            f"{shown} runs {facts.software} {facts.version_text}.",
            f"{facts.software} {'.'.join(map(str, oldest))} or later is needed.",
            "Upgrade the server, or try embedded:// meanwhile.",
        )
    if facts.eviction.startswith("allkeys"):
        raise StoreRefused(
            f"{shown} evicts keys when memory is short.",
            f"maxmemory-policy is {facts.eviction}; an evicted lock is lost.",
            "Set maxmemory-policy to noeviction.",
        )
    if facts.eviction != "noeviction":
        emit(EvictionFeared(server=shown, policy=facts.eviction))


def check_alone(facts: ServerFacts, shown: str) -> None:
    """Refuse a replica, and a node of a Cluster, as the one server of a `redis://`."""
    if facts.in_cluster:
        raise StoreRefused(
            f"{shown} is one node of a Cluster.",
            "It serves only the keys of its own slots.",
            "Use redis+cluster:// with the same host.",
        )
    if facts.role != "master":
        raise StoreUnavailable(
            f"{shown} is a replica.",
            "Nothing can be written to it.",
            "Name its master, or let Sentinel find it: redis+sentinel://.",
        )
