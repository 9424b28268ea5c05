"""The servers of the tests can be trusted to do what the tests ask of them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from tests.servers import Server, StartServer

ONCE = Retry(NoBackoff(), 0)


def test_a_server_answers_and_counts_commands(server: Server) -> None:
    server.reset_stats()

    server.admin.set("greeting", "hello")

    assert server.admin.get("greeting") == b"hello"
    assert server.commandstats()["set"] == 1
    assert server.info("server")["process_id"] == server.pid


def test_a_server_listens_on_loopback_only(server: Server) -> None:
    listening = subprocess.run(
        ["ss", "-Hltn", f"sport = :{server.port}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if listening.returncode:
        pytest.skip("ss is not installed")

    addresses = [line.split()[3] for line in listening.stdout.splitlines()]

    assert addresses == [f"127.0.0.1:{server.port}"]


def test_a_killed_server_is_gone_and_comes_back_on_its_port(
    private_server: Server,
) -> None:
    before = private_server.pid

    private_server.kill()

    with pytest.raises(redis.ConnectionError):
        private_server.admin.ping()
    private_server.start()
    assert private_server.admin.ping()
    assert private_server.pid != before


async def test_a_restart_keeps_the_port_and_what_was_to_be_durable(
    start_server: StartServer,
) -> None:
    server = start_server("valkey", persistence="always")
    server.admin.set("kept", "yes")
    port = server.port

    await server.restart()

    assert server.port == port
    assert server.admin.get("kept") == b"yes"


def test_a_paused_server_answers_only_when_it_goes_on(private_server: Server) -> None:
    client = redis.Redis(port=private_server.port, socket_timeout=0.05, retry=ONCE)
    client.ping()

    private_server.pause()

    with pytest.raises(redis.TimeoutError):
        client.ping()
    private_server.resume()
    assert client.ping()
    client.close()


def test_a_server_takes_a_password_and_further_options(
    start_server: StartServer,
) -> None:
    server = start_server("redis", password="open-sesame", options={"maxclients": "77"})

    assert server.admin.config_get("maxclients") == {"maxclients": "77"}
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=server.port, retry=ONCE).ping()


def test_no_server_outlives_a_test_run_that_was_killed(tmp_path: Path) -> None:
    run = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent("""
                import pathlib, sys, time
                from tests.servers import Server, ServerSettings
                server = Server(pathlib.Path(sys.argv[1]), ServerSettings())
                server.start()
                print(server.pid, flush=True)
                time.sleep(60)
            """),
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert run.stdout is not None
    pid = int(run.stdout.readline())
    assert is_alive(pid)

    run.kill()
    run.communicate()

    deadline = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(pid)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
