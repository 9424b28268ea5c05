"""Finds the real servers that the tests use, or installs them.

Each row of the table is one server: taken from the environment if its variable is set,
else found on the PATH, else installed with apt-get where that is allowed (as root, on
Debian and its kin). One that is still missing is named with what to do; with CI=true
that is a failure. The embedded valkey comes with the Python packages and is not here.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

QUICK_S = 10
INSTALL_S = 300
NO_SERVICES = Path("/usr/sbin/policy-rc.d")


@dataclass(frozen=True, slots=True)
class Server:
    """One server, and the three ways to it."""

    name: str
    version_of: tuple[str, ...]
    version_is: str
    at_least: tuple[int, int]
    package: str
    variable: str
    port: int
    compose: str


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


def found(server: Server) -> str | None:
    """The program on the PATH, if it is new enough."""
    program = shutil.which(server.version_of[0])
    if program is None:
        return None
    said = capture(*server.version_of)
    match = re.search(server.version_is, said)
    if match is None:
        raise Missing(f"{program} does not say its version: {said[:80]!r}")
    if (int(match[1]), int(match[2])) < server.at_least:
        wanted = ".".join(map(str, server.at_least))
        raise Missing(f"{program} is {match[0]}; at least {wanted} is needed")
    return f"{match[0].removeprefix('v=')} ({program})"


def may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


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


def apt_get(*words: str) -> None:
    command = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", *words)
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
        raise Missing(f"apt-get {words[0]} took over {INSTALL_S} s") from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout).strip().splitlines()[-3:]
        raise Missing(f"apt-get {words[0]} failed: {' '.join(last)}") from error


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
    """Where the server is; installs it if need be."""
    if place := given(server) or found(server):
        return place
    if not may_install():
        raise Missing(
            "it is not on the PATH, and only root may install it with apt-get"
        )
    install(server)
    if place := found(server):
        return place
    raise Missing(f"the package {server.package} was installed, but brought no program")


def complain(server: Server, why: str) -> None:
    wanted = ".".join(map(str, server.at_least))
    say(f"MISSING: {server.name} {wanted} or newer. Tests that need it will not run.")
    say(f"  why:  {why}")
    if os.environ.get(server.variable):
        say(f"  fix:  start a server at that address, or unset {server.variable}")
        return
    say(f"  fix:  sudo apt-get install {server.package}")
    say(f"  or:   docker compose up --detach --wait {server.compose}")
    say(f"        and set {server.variable}, as docker-compose.yml tells at its top")


def say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    missing = 0
    for server in SERVERS:
        try:
            say(f"{server.name} {have(server)}")
        except Missing as error:
            complain(server, str(error))
            missing += 1
    return int(missing > 0 and os.environ.get("CI") == "true")


if __name__ == "__main__":
    sys.exit(main())
