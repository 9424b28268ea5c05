"""What a benchmark needs to be believed: what the server did, and what others took.

A machine with neighbours is noisy. So each window carries how much processor time the
hypervisor took away (steal) and how much went to programs that are not ours (foreign),
from /proc/stat; and how long ours stood ready and had to wait for a processor. A window
with too much of it is thrown away by who asked for it.
"""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.servers import Server

STEAL_PCT_MAX = 2.0
FOREIGN_PCT_MAX = 10.0
WAITED_PCT_MAX = 15.0
"""An undisturbed process, woken 7,000 times a second, waits 5 to 12 % on a guest."""
COARSE_TICKS = 2
TICKS_A_S = os.sysconf("SC_CLK_TCK")
_OUR_OWN = ("info", "client|", "config|", "monitor", "flushall", "echo")
_NOT_ASKED = ("info", "client", "config", "monitor", "echo", "hello", "auth", "select")


@dataclass(frozen=True, slots=True)
class Noise:
    """What others took during a window, in percent.

    `steal_pct` is of all processors; `foreign_pct` of one, with a resolution of ticks
    of 10 ms, which is `coarse_pct`. `waited_pct` is how long a process that has a
    processor for itself stood ready while somebody else ran on it.
    """

    steal_pct: float
    foreign_pct: float
    waited_pct: float
    coarse_pct: float = 0.0

    @property
    def why_not(self) -> str:
        """Why the window is not to be used; "" if it is fine."""
        if self.steal_pct > STEAL_PCT_MAX:
            return f"steal {self.steal_pct:.1f} %"
        if self.waited_pct > WAITED_PCT_MAX:
            return f"waiting for a processor {self.waited_pct:.1f} %"
        if self.foreign_pct > FOREIGN_PCT_MAX + self.coarse_pct:
            return f"foreign load {self.foreign_pct:.0f} %"
        return ""


class NoiseWatch:
    """Watches the processors while our processes work.

    `pids` are ours; those of `alone` share their processor with none of ours.
    """

    def __init__(self, pids: Iterable[int], alone: Iterable[int]) -> None:
        self._pids = [*pids, os.getpid()]
        self._alone = list(alone)
        self._began = time.monotonic()
        self._before = _processors()
        self._own = sum(map(ticks_of, _families(self._pids)))
        self._waited_s = sum(map(waited_s_of, self._alone))

    def stop(self) -> Noise:
        took_s = time.monotonic() - self._began
        busy, steal, total = (
            now - was for now, was in zip(_processors(), self._before, strict=True)
        )
        own = sum(map(ticks_of, _families(self._pids))) - self._own
        waited_s = sum(map(waited_s_of, self._alone)) - self._waited_s
        a_tick_pct = 100 / TICKS_A_S / took_s
        return Noise(
            steal_pct=100 * steal / max(1, total),
            foreign_pct=max(0.0, (busy - own) * a_tick_pct),
            waited_pct=100 * max(0.0, waited_s) / took_s,
            coarse_pct=COARSE_TICKS * a_tick_pct,
        )


def _families(pids: Iterable[int]) -> list[int]:
    """These processes and all that they have started."""
    found, left = list[int](), [*pids]
    while left:
        found.append(pid := left.pop())
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                left.extend(map(int, children.read_text().split()))
    return list(dict.fromkeys(found))


def _processors() -> tuple[int, int, int]:
    """Ticks of all processors: busy, stolen, in all."""
    line = Path("/proc/stat").read_text().splitlines()[0]
    user, nice, system, idle, wait, hard, soft, steal = map(int, line.split()[1:9])
    busy = user + nice + system + hard + soft
    return busy, steal, busy + idle + wait + steal


def ticks_of(pid: int) -> int:
    """What a process and all its threads have used; 0 if it is gone."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    user, system = said.rpartition(")")[2].split()[11:13]
    return int(user) + int(system)


def waited_s_of(pid: int) -> float:
    """How long the threads of a process have stood ready without a processor."""
    waited_ns = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            waited_ns += int((thread / "schedstat").read_text().split()[1])
        except (OSError, IndexError):
            continue  # it has ended, or this kernel does not tell
    return waited_ns / 1e9


def pin(pid: int, processor: int) -> None:
    """Keep a process, all threads of it, on one processor, if there is such a one."""
    if processor in os.sched_getaffinity(0):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {processor})


@dataclass(frozen=True, slots=True)
class Counts:
    """What a server has done for its clients so far, without what we asked of it.

    `commands`: what clients sent and what scripts called inside, together. `reads`:
    reads of its sockets, which is close to round trips.
    """

    commands: int
    reads: int
    cpu_s: float

    def since(self, before: Counts) -> Counts:
        return Counts(
            self.commands - before.commands,
            self.reads - before.reads,
            self.cpu_s - before.cpu_s,
        )

    def facts(self) -> dict[str, float]:
        return asdict(self)


def count(server: Server) -> Counts:
    stats, cpu = server.info("stats"), server.info("cpu")
    commands = sum(
        calls
        for name, calls in server.commandstats().items()
        if not name.startswith(_OUR_OWN)
    )
    return Counts(
        commands=commands,
        reads=int(str(stats["total_reads_processed"])),
        cpu_s=float(str(cpu["used_cpu_sys"])) + float(str(cpu["used_cpu_user"])),
    )


class Overheard:
    """Everything that clients send to a server for a while, by MONITOR.

    Slows the server, so nothing is timed meanwhile; but it tells exactly what was asked
    by clients and not by scripts. What opens a connection is left out.
    """

    END = "nothing more is listened to"

    def __init__(self, server: Server) -> None:
        self._server = server
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        self._socket.sendall(b"MONITOR\r\n")
        if not self._socket.recv(64).startswith(b"+OK"):
            raise RuntimeError(f"{server} refuses MONITOR")
        self._socket.settimeout(None)
        self._heard: list[bytes] = []
        self._over = threading.Event()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        end = self.END.encode()
        last = b""
        while data := self._socket.recv(1 << 20):
            self._heard.append(data)
            if end in last + data:
                self._over.set()
            last = data[-len(end) :]

    def stop(self) -> Counter[str]:
        """How often each command was sent by a client; scripts with their digest."""
        self._server.admin.echo(self.END)
        if not self._over.wait(timeout=10):
            raise RuntimeError(f"{self._server} stopped telling what it hears")
        self._socket.shutdown(socket.SHUT_RDWR)
        self._reading.join(timeout=5)
        self._socket.close()
        sent: Counter[str] = Counter()
        for line in b"".join(self._heard).decode(errors="replace").split("\r\n"):
            head, _, words = line.partition("] ")
            if not words or head.endswith(" lua"):
                continue
            command, *rest = words.split()
            command = command.strip('"').lower()
            if command in ("evalsha", "eval") and rest:
                command = f"{command} {rest[0].strip(chr(34))}"
            if not command.startswith(_NOT_ASKED):
                sent[command] += 1
        return sent


def machine() -> dict[str, object]:
    """Where it was measured."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": model,
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
