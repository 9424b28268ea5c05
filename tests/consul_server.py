"""A private Consul: one server on loopback, in memory unless it is to be durable.

The program is the one that `make servers` finds or fetches. Only the ports that tests
speak to are open, each on a free number.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.kept import Kept
from tests.ports import free_port
from tests.servers import MissingServer

FETCHED = Path(__file__).parent.parent / ".servers" / "consul" / "usr" / "bin"


def consul_program() -> str:
    """The program. Raises `MissingServer`."""
    found = shutil.which("consul", path=str(FETCHED)) or shutil.which("consul")
    if found is None:
        raise MissingServer(
            "consul is not on this machine. `make servers` finds or fetches it; or "
            "set QUORATE_TEST_CONSUL_URL to a Consul that may be written to."
        )
    return found


class ConsulServer(Kept):
    """One Consul agent: a server, or with `of` a client of that server.

    `durable`: it keeps its Raft log and its checks over a restart. `settings` are
    further lines of its configuration, `token` what `ask` shows it.
    """

    name = "consul"

    def __init__(
        self,
        directory: Path,
        *,
        durable: bool = False,
        settings: Mapping[str, object] | None = None,
        token: str = "",
        of: ConsulServer | None = None,
    ) -> None:
        self._program = consul_program()
        super().__init__(directory)
        self._durable = durable or of is not None
        self._settings = dict(settings or {})
        self._token = token
        if of is not None:
            self._settings |= {
                "server": False,
                "bootstrap_expect": 0,
                "node_name": "elsewhere",
                "retry_join": [f"127.0.0.1:{of.ports['serf_lan']}"],
            }
        self.ports: dict[str, int] = {}

    @property
    def url(self) -> str:
        return f"consul://127.0.0.1:{self.port}"

    @property
    def web(self) -> str:
        """Where its plain HTTP is."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        if not self.ports:
            self.ports = {name: free_port() for name in ("http", "serf_lan", "server")}
        self.port = self.ports["http"]
        configuration = {
            "server": True,
            "bootstrap_expect": 1,
            "node_name": "tests",
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "ports": {**self.ports, "dns": -1, "grpc": -1, "serf_wan": -1},
            "data_dir": str(self.directory / "data"),
            "disable_update_check": True,
            "disable_host_node_id": True,
            "leave_on_terminate": False,
            "performance": {"raft_multiplier": 1},
            "log_level": "WARN",
            **self._settings,
        }
        path = self.directory / "consul.json"
        if not self._durable:
            del configuration["data_dir"], configuration["bootstrap_expect"]
        path.write_text(json.dumps(configuration))
        mode = [] if self._durable else ["-dev"]
        return [self._program, "agent", *mode, "-config-file", str(path)]

    def answers(self) -> bool:
        """It has a leader, and that leader has taken up this agent."""
        name = self._settings.get("node_name", "tests")
        try:
            return self.ask(f"/v1/health/node/{name}") not in (None, [])
        except OSError:
            return False

    def ask(self, path: str, *, method: str = "GET", body: object = None) -> object:
        """What it answers to a plain question from outside; None for nothing."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.web}{path}", method=method, data=data)
        request.add_header("X-Consul-Token", self._token)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return None
        return json.loads(text) if text else None

    def keys(self, prefix: str = "") -> list[str]:
        """The keys that there are."""
        found = self.ask(f"/v1/kv/{prefix}?keys")
        return list(found) if isinstance(found, list) else []
