"""Several servers that belong together: a Sentinel set, a Cluster. Real and private.

All of them run on free ports of 127.0.0.1 under the guard of `tests.servers`, so none
outlives the run. They are tuned to notice a failure within about a second; what a test
does to them (kill, pause, move a slot) is what would be done to real ones.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import redis
from redis.crc import key_slot
from tests.ports import free_port
from tests.servers import Kind, Server, ServerSettings

SERVICE = "quorate"
SLOTS = 16384
NODE_TIMEOUT_MS = 1000
DOWN_AFTER_MS = 1000
FAILOVER_TIMEOUT_MS = 3000
READY_WITHIN_S = 20.0
QUICK_REPLICATION = {
    "repl-diskless-sync-delay": "0",
    "repl-ping-replica-period": "1",
    "repl-timeout": "5",
}

StartSentinels: TypeAlias = "Callable[..., SentinelSet]"
StartCluster: TypeAlias = "Callable[..., Cluster]"
"""A kind and settings → a private fleet that runs."""

T = TypeVar("T")
F = TypeVar("F", "SentinelSet", "Cluster")


def until(
    what: str, holds: Callable[[], bool], within_s: float = READY_WITHIN_S
) -> None:
    """Wait, blocking, until something holds of other processes."""
    deadline = time.monotonic() + within_s
    while not _quietly(holds):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come about in {within_s:g} s")
        time.sleep(0.02)


def _quietly(holds: Callable[[], bool]) -> bool:
    try:
        return holds()
    except Exception:
        return False


def at_once(work: Iterable[Callable[[], T]]) -> list[T]:
    """Do all of it in threads."""
    work = list(work)
    with ThreadPoolExecutor(len(work)) as pool:
        return [done.result() for done in [pool.submit(each) for each in work]]


class SentinelProcess(Server):
    """One Sentinel, which is the same program in another mode."""

    def __init__(
        self, directory: Path, kind: Kind, watched: Server, down_after_ms: int
    ) -> None:
        super().__init__(directory, ServerSettings(kind=kind))
        self._down_after_ms = down_after_ms
        self.port = free_port()
        self.id = secrets.token_hex(20)
        self._watched = watched
        self._others: list[str] = []

    def introduce(
        self, sentinels: list[SentinelProcess], replicas: list[Server]
    ) -> None:
        """Know everybody from the start, instead of finding out over some seconds."""
        self._others = [
            f"sentinel known-sentinel {SERVICE} 127.0.0.1 {other.port} {other.id}"
            for other in sentinels
            if other is not self
        ] + [
            f"sentinel known-replica {SERVICE} 127.0.0.1 {replica.port}"
            for replica in replicas
        ]

    def hurry(self) -> None:
        """Look and talk several times a second instead of every few seconds."""
        self.admin.execute_command(
            "SENTINEL", "DEBUG",
            *("info-period", 300, "publish-period", 300, "ping-period", 200),
            *("ask-period", 200, "election-timeout", 2000),
            *("slave-reconf-timeout", 2000, "script-max-runtime", 1000),
        )  # fmt: skip

    def _options(self) -> list[str]:
        path = self.directory / "sentinel.conf"
        if not path.exists() or f"port {self.port}\n" not in path.read_text():
            path.write_text("\n".join(self._first_config()) + "\n")
        return [str(path), "--sentinel"]

    def _first_config(self) -> list[str]:
        password = self._watched.password
        return [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.directory}",
            f"sentinel myid {self.id}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {self._watched.port} 2",
            f"sentinel down-after-milliseconds {SERVICE} {self._down_after_ms}",
            f"sentinel failover-timeout {SERVICE} {FAILOVER_TIMEOUT_MS}",
            *([f"sentinel auth-pass {SERVICE} {password}"] if password else []),
            *self._others,
        ]


class SentinelSet:
    """A master, its replicas, and three Sentinels that watch over them."""

    def __init__(
        self,
        directory: Path,
        kind: Kind = "valkey",
        *,
        replicas: int = 2,
        password: str = "",
        options: dict[str, str] | None = None,
        down_after_ms: int = DOWN_AFTER_MS,
    ) -> None:
        options = {**QUICK_REPLICATION, **(options or {})}
        if password:
            options["masterauth"] = password
        settings = ServerSettings(kind=kind, password=password, options=options)
        self.servers = [
            Server(directory / f"server-{n}", settings) for n in range(replicas + 1)
        ]
        self.sentinels = [
            SentinelProcess(
                directory / f"sentinel-{n}", kind, self.servers[0], down_after_ms
            )
            for n in range(3)
        ]

    @property
    def url(self) -> str:
        who = f":{self.servers[0].password}@" if self.servers[0].password else ""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{who}{hosts}/{SERVICE}"

    @property
    def master(self) -> Server:
        """Whom the first Sentinel that answers calls the master."""
        for sentinel in self.sentinels:
            if sentinel.is_running:
                said = sentinel.admin.execute_command(
                    "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE
                )
                port = int(said[1])
                return next(server for server in self.servers if server.port == port)
        raise RuntimeError("no Sentinel runs")

    @property
    def replicas(self) -> list[Server]:
        master = self.master
        return [server for server in self.servers if server is not master]

    def start(self) -> None:
        """Start all, and wait until a failover would succeed."""
        at_once([server.start for server in self.servers])
        first, *others = self.servers
        for replica in others:
            replica.admin.execute_command("REPLICAOF", "127.0.0.1", str(first.port))
        for sentinel in self.sentinels:
            sentinel.introduce(self.sentinels, others)
        at_once([sentinel.start for sentinel in self.sentinels])
        for sentinel in self.sentinels:
            sentinel.hurry()
        until("replication", self._is_replicated)
        until("a quorum", lambda: all(map(self._has_quorum, self.sentinels)))

    def fail_over(self) -> None:
        """Ask for a switch, and wait until it is done."""
        before, sentinel = self.master, self.sentinels[0].admin
        until(
            "consent", lambda: sentinel.execute_command("SENTINEL", "FAILOVER", SERVICE)
        )
        until("the switch", lambda: self.master is not before)

    def cut_off_replicas(self) -> None:
        """From now on replicas hear nothing of what the master does."""
        for replica in self.replicas:
            replica.admin.config_set("masterauth", "none-of-yours")
        self.master.admin.execute_command("CLIENT", "KILL", "TYPE", "replica")

    def reconnect_replicas(self) -> None:
        """Whoever is a replica now hears of its master again."""
        for server in self.servers:
            if server.is_running:
                server.admin.config_set("masterauth", server.password)

    def stop(self) -> None:
        at_once([server.stop for server in (*self.sentinels, *self.servers)])

    def _is_replicated(self) -> bool:
        first, *others = self.servers
        return first.info("replication")["connected_slaves"] == len(others) and all(
            other.info("replication")["master_link_status"] == "up" for other in others
        )

    def _has_quorum(self, sentinel: SentinelProcess) -> bool:
        said = sentinel.admin.execute_command("SENTINEL", "CKQUORUM", SERVICE)
        slaves = sentinel.admin.execute_command("SENTINEL", "REPLICAS", SERVICE)
        flags = [
            dict(zip(row[::2], row[1::2], strict=True))[b"flags"] for row in slaves
        ]
        return said.startswith(b"OK 3") and flags == [b"slave"] * (
            len(self.servers) - 1
        )


class ClusterNode(Server):
    """One node. It listens on a second port, on which the nodes talk to each other."""

    bus_port = 0
    tls_port = 0

    def _spawn(self) -> None:
        if not self.port:
            self.bus_port = free_port()
            if "tls-cert-file" in self.options:
                self.tls_port = free_port()
        super()._spawn()

    def _options(self) -> list[str]:
        more = ["--cluster-port", str(self.bus_port)]
        if self.tls_port:
            more += ["--tls-port", str(self.tls_port)]
        return [*super()._options(), *more]


class Cluster:
    """Three masters that share the slots, each with so many replicas."""

    def __init__(
        self,
        directory: Path,
        kind: Kind = "valkey",
        *,
        masters: int = 3,
        replicas: int = 0,
        password: str = "",
        options: dict[str, str] | None = None,
    ) -> None:
        self.servers = [
            ClusterNode(
                directory / f"node-{n}",
                ServerSettings(
                    kind=kind,
                    password=password,
                    options={
                        **QUICK_REPLICATION,
                        "cluster-enabled": "yes",
                        "cluster-node-timeout": str(NODE_TIMEOUT_MS),
                        "cluster-replica-validity-factor": "0",
                        **({"masterauth": password} if password else {}),
                        **(options or {}),
                    },
                ),
            )
            for n in range(masters * (1 + replicas))
        ]
        self._masters = masters

    @property
    def url(self) -> str:
        who = f":{self.servers[0].password}@" if self.servers[0].password else ""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return f"redis+cluster://{who}{hosts}"

    @property
    def masters(self) -> list[Server]:
        """Who serves slots now, by the word of any node that answers."""
        return list(dict.fromkeys(self._owners().values()))

    def owner(self, key: str | int) -> Server:
        """The master of the key's slot, or of the slot."""
        slot = key if isinstance(key, int) else key_slot(key.encode())
        for (first, last), server in self._owners().items():
            if first <= slot <= last:
                return server
        raise LookupError(f"nobody serves slot {slot}")

    def replica_of(self, master: Server) -> Server:
        """A replica that is connected to this master."""
        for server in self.servers:
            if server is master or not server.is_running:
                continue
            facts = server.info("replication")
            if facts["role"] == "slave" and facts["master_port"] == master.port:
                return server
        raise LookupError(f"{master} has no replica")

    def start(self) -> None:
        """Start all, share the slots, and wait until every node calls it fit."""
        at_once([server.start for server in self.servers])
        masters = self.servers[: self._masters]
        for n, server in enumerate(masters):
            first, last = SLOTS * n // len(masters), SLOTS * (n + 1) // len(masters) - 1
            server.admin.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for n, server in enumerate(self.servers):
            server.admin.execute_command("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
            if server is not masters[0]:
                self._meet(server, masters[0])
        until("acquaintance", self._is_acquainted)
        for n, server in enumerate(self.servers[self._masters :]):
            master = masters[n % len(masters)]
            server.admin.execute_command("CLUSTER", "REPLICATE", node_id(master))
        until("a fit cluster", lambda: all(map(self._is_fit, self.servers)))

    def stop(self) -> None:
        at_once([server.stop for server in self.servers])

    def flush(self) -> None:
        """Remove all data and forget all scripts."""
        for master in self.masters:
            master.flush()

    def begin_move(self, slot: int, source: Server, to: Server) -> None:
        """Key by key, as `redis-cli --cluster reshard` does.

        From now on the slot is in both places; `finish_move` must follow.
        """
        to.admin.execute_command(
            "CLUSTER", "SETSLOT", slot, "IMPORTING", node_id(source)
        )
        source.admin.execute_command(
            "CLUSTER", "SETSLOT", slot, "MIGRATING", node_id(to)
        )

    def finish_move(self, slot: int, source: Server, to: Server) -> None:
        ask = source.admin.execute_command
        while keys := ask("CLUSTER", "GETKEYSINSLOT", slot, 10):
            self.move_keys(source, to, keys)
        self.settle_slot(slot, source, to)

    def move_as_a_whole(self, slot: int, to: Server) -> None:
        """Let the servers move it in one piece, as Valkey 9 can."""
        self.owner(slot).admin.execute_command(
            "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", node_id(to)
        )
        until("the move", lambda: self.owner(slot) is to)

    def move_keys(self, source: Server, to: Server, keys: list[bytes]) -> None:
        source.admin.execute_command(
            "MIGRATE", "127.0.0.1", to.port, "", 0, 5000,
            *(("AUTH", to.password) if to.password else ()),
            "KEYS", *keys,
        )  # fmt: skip

    def settle_slot(self, slot: int, source: Server, to: Server) -> None:
        """The end of a move: the new owner first, so that nobody points at nobody."""
        others = [server for server in self.masters if server not in (source, to)]
        for server in (to, source, *others):
            server.admin.execute_command(
                "CLUSTER", "SETSLOT", slot, "NODE", node_id(to)
            )

    async def move(self, slot: int, to: Server, linger_s: float = 0.0) -> None:
        """Move a slot without stopping the event loop; be in between for `linger_s`."""
        source = self.owner(slot)
        await asyncio.to_thread(self.begin_move, slot, source, to)
        await asyncio.sleep(linger_s)
        await asyncio.to_thread(self.finish_move, slot, source, to)

    def _owners(self) -> dict[tuple[int, int], Server]:
        for server in self.servers:
            if not server.is_running:
                continue
            try:
                rows = server.admin.execute_command("CLUSTER", "SLOTS")
            except redis.RedisError:  # paused
                continue
            return {(row[0], row[1]): self._at(row[2][1]) for row in rows}
        raise RuntimeError("no node answers")

    def _at(self, port: int) -> Server:
        return next(server for server in self.servers if server.port == port)

    def _meet(self, server: Server, other: ClusterNode) -> None:
        port = other.tls_port or other.port
        server.admin.execute_command(
            "CLUSTER", "MEET", "127.0.0.1", port, other.bus_port
        )

    def _is_acquainted(self) -> bool:
        return all(
            len(_nodes(server)) == len(self.servers)
            and not any("handshake" in line for line in _nodes(server))
            for server in self.servers
        )

    def _is_fit(self, server: Server) -> bool:
        said = server.admin.execute_command("CLUSTER", "INFO").decode()
        facts = dict(line.split(":") for line in said.split() if ":" in line)
        if facts["cluster_state"] != "ok" or facts["cluster_slots_ok"] != str(SLOTS):
            return False
        expected = len(self.servers) - self._masters
        replicas = sum("slave" in line.split()[2] for line in _nodes(server))
        if replicas != expected:
            return False
        replication = server.info("replication")
        return replication["role"] == "master" or (
            replication["master_link_status"] == "up"
        )


def node_id(server: Server) -> str:
    return str(server.admin.execute_command("CLUSTER", "MYID").decode())


def _nodes(server: Server) -> list[str]:
    said = server.admin.execute_command("CLUSTER", "NODES")
    return str(said.decode()).splitlines()


class Fleets:
    """The fleets of a run: one of each kind to share, and private ones."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._shared: dict[str, SentinelSet | Cluster] = {}
        self._all: list[SentinelSet | Cluster] = []

    def shared(self, what: Literal["sentinel", "cluster"]) -> SentinelSet | Cluster:
        """The one that tests share; they leave it as they found it."""
        if what not in self._shared:
            start = self.sentinels if what == "sentinel" else self.cluster
            self._shared[what] = start("valkey")
        return self._shared[what]

    def sentinels(self, kind: Kind, **how: Any) -> SentinelSet:
        """A fresh set. Raises `MissingServer`."""
        return self._started(SentinelSet(self._place(), kind, **how))

    def cluster(self, kind: Kind, **how: Any) -> Cluster:
        """A fresh Cluster. Raises `MissingServer`."""
        return self._started(Cluster(self._place(), kind, **how))

    def stop(self) -> None:
        """End all of them."""
        for each in self._all:
            each.stop()

    def _place(self) -> Path:
        return self._directory / f"fleet-{len(self._all)}"

    def _started(self, fleet: F) -> F:
        self._all.append(fleet)
        fleet.start()
        return fleet
