"""The private Consul and PostgreSQL do what the tests ask of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import psycopg
import pytest
from tests.postgres_server import PostgresServer

ROOT = Path(__file__).parents[2]


def test_a_consul_answers_and_keeps_keys(private_consul):
    private_consul.ask("/v1/kv/greeting", method="PUT", body="hello")

    assert private_consul.keys() == ["greeting"]


def test_a_consul_listens_on_loopback_only(private_consul):
    listening = subprocess.run(
        ["ss", "-Hltnp"], capture_output=True, text=True, check=False
    )
    if listening.returncode:
        pytest.skip("ss is not installed")

    ours = [
        line
        for line in listening.stdout.splitlines()
        if f"pid={private_consul.pid}," in line
    ]

    places = {line.split()[3].rpartition(":")[0] for line in ours}
    assert places == {"127.0.0.1"}
    assert len(ours) == 3


async def test_a_durable_consul_keeps_its_keys_over_a_restart(start_consul):
    server = start_consul(durable=True)
    server.ask("/v1/kv/kept", method="PUT", body="yes")

    await server.restart()

    assert server.keys() == ["kept"]


async def test_a_consul_in_memory_loses_its_keys_with_a_restart(private_consul):
    private_consul.ask("/v1/kv/kept", method="PUT", body="yes")

    await private_consul.restart()

    assert private_consul.keys() == []


def test_a_paused_consul_answers_only_when_it_goes_on(private_consul):
    private_consul.pause()

    with pytest.raises(OSError, match="timed out"):
        urllib.request.urlopen(f"{private_consul.web}/v1/agent/self", timeout=0.2)
    private_consul.resume()
    assert private_consul.answers()


def test_a_postgres_takes_queries(postgres_url):
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("select 6 * 7").fetchone()

    assert row == (42,)


@pytest.mark.parametrize("kind", ["ConsulServer", "PostgresServer"])
def test_no_server_outlives_a_test_run_that_was_killed(
    tmp_path, kind, shared_consul, shared_postgres
):
    run = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""
                import pathlib, sys, time
                from tests.consul_server import ConsulServer
                from tests.postgres_server import PostgresServer
                server = {kind}(pathlib.Path(sys.argv[1]))
                server.start()
                print(server.pid, server.removed_at_the_end or sys.argv[1], flush=True)
                time.sleep(60)
            """),
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert run.stdout is not None
    pid, folder = run.stdout.readline().split()
    os.kill(int(pid), 0)

    run.send_signal(signal.SIGKILL)
    run.communicate()

    deadline = time.monotonic() + 5
    while is_alive(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(int(pid))
    if kind == "PostgresServer":
        while Path(folder).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not Path(folder).exists()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_postgres_comes_back_with_what_it_had(tmp_path, shared_postgres):
    server = PostgresServer(tmp_path)
    server.start()
    try:
        with psycopg.connect(server.url) as connection:
            connection.execute("create table kept (word text)")

        server.kill()
        server.start()

        with psycopg.connect(server.url) as connection:
            assert connection.execute("select count(*) from kept").fetchone() == (0,)
    finally:
        server.stop()
