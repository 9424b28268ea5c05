"""Finds the real servers that the tests use, or gets them.

Each row of the table is one server: taken from the environment if its variable is set,
else found on this machine, else got where that is allowed: with apt-get as root on
Debian and its kin, or, without installing it, from Debian's archive into `.servers/`.
One that is still missing is named with what to do; with CI=true that is a failure. The
embedded valkey comes with the Python packages and is not here.

    python scripts/servers.py [server ...]
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / ".servers"
QUICK_S = 10
INSTALL_S = 300
NO_SERVICES = Path("/usr/sbin/policy-rc.d")


@dataclass(frozen=True, slots=True)
class Archived:
    """A package that is no longer in the machine's own release, but in an older one.

    `pins` are the SHA-256 of its file, one for each architecture.
    """

    suite: str
    version: str
    pins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """One server, and the ways to it. `beside` is where it may be off the PATH."""

    name: str
    version_of: tuple[str, ...]
    version_is: str
    at_least: tuple[int, int]
    package: str
    variable: str
    port: int
    compose: str
    beside: tuple[str, ...] = ()
    archived: Archived | None = None


SERVERS = (
    Server(
        name="redis-server",
        version_of=("redis-server", "--version"),
        version_is=r"v=(\d+)\.(\d+)\S*",
        at_least=(7, 0),
        package="redis-server",
        variable="QUORATE_TEST_REDIS_URL",
        port=6379,
        compose="redis",
    ),
    Server(
        name="consul",
        version_of=("consul", "version"),
        version_is=r"v(\d+)\.(\d+)\S*",
        at_least=(1, 8),
        package="consul",
        variable="QUORATE_TEST_CONSUL_URL",
        port=8500,
        compose="consul",
        beside=(str(KEPT / "consul/usr/bin"),),
        archived=Archived(
            suite="bullseye",
            version="1.8.7+dfsg1-2+b3",
            pins=(
                "amd64=e4e888bba104daba1d9161f49bfc5264"
                "9a7e4efd45b1a7ead5bc54f2cb9c89d9",
                "arm64=7318cfa77a7ba6f71dd096e44353279d"
                "e246ffc6561216ace42353685dcf8255",
            ),
        ),
    ),
    Server(
        name="postgres",
        version_of=("postgres", "--version"),
        version_is=r"(\d+)\.(\d+)",
        at_least=(13, 0),
        package="postgresql",
        variable="QUORATE_TEST_POSTGRES_URL",
        port=5432,
        compose="postgres",
        beside=("/usr/lib/postgresql/*/bin",),
    ),
    Server(
        name="rabbitmq-server",
        version_of=("rabbitmqctl", "version"),
        version_is=r"(\d+)\.(\d+)\S*",
        at_least=(3, 10),
        package="rabbitmq-server",
        variable="QUORATE_TEST_RABBITMQ_URL",
        port=5672,
        compose="rabbitmq",
        beside=("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",),
    ),
)


class Missing(Exception):
    """The server cannot be had in this way; the message says why."""


def given(server: Server) -> str | None:
    """The address in the environment, if somebody listens there."""
    url = os.environ.get(server.variable)
    if not url:
        return None
    try:
        address = urlsplit(url)
        host, port = address.hostname or "localhost", address.port or server.port
        socket.create_connection((host, port), timeout=2).close()
    except (OSError, ValueError) as error:
        raise Missing(f"{server.variable} is set, but: {error}") from error
    return f"at {host}:{port} ({server.variable})"


def program_of(server: Server) -> str | None:
    """The program: where its package puts it, the newest there; or on the PATH.

    What Debian has on the PATH for RabbitMQ is a script for two users only.
    """
    name = server.version_of[0]
    places = [found for place in server.beside for found in folders(place)]
    return shutil.which(name, path=os.pathsep.join(places)) or shutil.which(name)


def folders(pattern: str) -> Iterator[str]:
    """The folders that fit the pattern; of numbered ones the highest first."""
    found = Path("/").glob(pattern.lstrip("/"))
    yield from sorted(map(str, found), key=numbers_in, reverse=True)


def numbers_in(path: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", path)]


def found(server: Server) -> str | None:
    """The program on this machine, if it is new enough."""
    program = program_of(server)
    if program is None:
        return None
    said = capture(program, *server.version_of[1:])
    match = re.search(server.version_is, said)
    if match is None:
        raise Missing(f"{program} does not say its version: {said[:80]!r}")
    if (int(match[1]), int(match[2])) < server.at_least:
        wanted = ".".join(map(str, server.at_least))
        raise Missing(f"{program} is {match[0]}; at least {wanted} is needed")
    return f"{match[0].removeprefix('v=').removeprefix('v')} ({program})"


def get(server: Server) -> None:
    """Get it in the one way that there is for it."""
    if server.archived is not None:
        fetch(server, server.archived)
    elif os.geteuid() == 0 and shutil.which("apt-get"):
        install(server)
    else:
        raise Missing(
            "it is not on the PATH, and only root may install it with apt-get"
        )


def install(server: Server) -> None:
    """With apt-get, without letting it start a service of its own."""
    say(f"{server.name}: installing the package {server.package} with apt-get")
    if not re.search(r"Candidate: \d", capture("apt-cache", "policy", server.package)):
        say("the package lists are empty or old: apt-get update")
        apt_get("update")
    keep_quiet = not NO_SERVICES.exists()
    if keep_quiet:
        NO_SERVICES.write_text("#!/bin/sh\nexit 101\n")
        NO_SERVICES.chmod(0o755)
    try:
        apt_get("install", "--yes", "--no-install-recommends", server.package)
    finally:
        if keep_quiet:
            NO_SERVICES.unlink(missing_ok=True)


def fetch(server: Server, archived: Archived) -> None:
    """From Debian's archive into `.servers/`; see debian_archive.py."""
    say(f"{server.name}: fetching {archived.version} from Debian's {archived.suite}")
    run(
        *(sys.executable, str(ROOT / "scripts" / "debian_archive.py")),
        *(archived.suite, server.package, archived.version),
        *(str(KEPT / server.name), *archived.pins),
    )


def apt_get(*words: str) -> None:
    run("apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", *words)


def run(*command: str) -> None:
    """Run it to the end, or say why it did not get there."""
    what = "the download" if command[0] == sys.executable else command[0]
    try:
        subprocess.run(
            command,
            check=True,
            timeout=INSTALL_S,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    except subprocess.TimeoutExpired as error:
        raise Missing(f"{what} took over {INSTALL_S} s") from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout).strip().splitlines()[-3:]
        raise Missing(f"{what} failed: {' '.join(last)}") from error


def capture(*command: str) -> str:
    try:
        done = subprocess.run(
            command,
            check=False,
            timeout=QUICK_S,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except subprocess.TimeoutExpired as error:
        raise Missing(f"{command[0]} said nothing for {QUICK_S} s") from error
    return done.stdout


def have(server: Server) -> str:
    """Where the server is; gets it if need be."""
    if place := given(server) or found(server):
        return place
    get(server)
    if place := found(server):
        return place
    raise Missing(f"the package {server.package} was fetched, but brought no program")


def complain(server: Server, why: str) -> None:
    wanted = ".".join(map(str, server.at_least))
    say(f"MISSING: {server.name} {wanted} or newer. Tests that need it will not run.")
    say(f"  why:  {why}")
    if os.environ.get(server.variable):
        say(f"  fix:  start a server at that address, or unset {server.variable}")
        return
    if server.archived is None:
        say(f"  fix:  sudo apt-get install {server.package}")
    else:
        say(f"  fix:  put the program {server.version_of[0]} on the PATH")
    say(f"  or:   docker compose up --detach --wait {server.compose}")
    say(f"        and set {server.variable}, as docker-compose.yml tells at its top")


def say(line: str) -> None:
    print(line, flush=True)


def main(names: list[str]) -> int:
    known = [server.name for server in SERVERS]
    for name in names:
        if name not in known:
            say(f"{name} is not a server of the tests; they are {', '.join(known)}")
            return 2
    missing = 0
    for server in SERVERS:
        if names and server.name not in names:
            continue
        try:
            say(f"{server.name} {have(server)}")
        except (Missing, OSError) as error:
            complain(server, str(error))
            missing += 1
    return int(missing > 0 and os.environ.get("CI") == "true")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
