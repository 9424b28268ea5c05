"""A server is found, or named loudly with what to do; in CI a missing one fails."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NOBODY = "redis://:hush@127.0.0.1:1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A PATH with nothing on it: no server, and no apt-get to install one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def look(path: Path, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "servers.py", "redis-server"],
        env={"PATH": str(path), "HOME": os.devnull, **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def put(path: Path, says: str) -> None:
    program = path / "redis-server"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)


def test_a_server_that_is_new_enough_is_found(path):
    put(path, "Redis server v=7.2.4 sha=00000000:0 malloc=libc bits=64")

    assert look(path, CI="true") == (0, f"redis-server 7.2.4 ({path}/redis-server)\n")


def test_a_missing_server_is_named_with_what_to_do(path):
    code, said = look(path)

    assert code == 0
    assert "MISSING: redis-server 7.0 or newer" in said
    assert "apt-get install redis-server" in said
    assert "docker compose up --detach --wait redis" in said
    assert "QUORATE_TEST_REDIS_URL" in said


def test_a_missing_server_is_a_failure_in_ci(path):
    assert look(path, CI="true")[0] == 1


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ("Redis server v=6.2.14 sha=0", "v=6.2.14; at least 7.0 is needed"),
        ("hello", "does not say its version: 'hello"),
    ],
)
def test_a_server_that_is_too_old_or_none_at_all_is_refused(path, says, why):
    put(path, says)

    code, said = look(path, CI="true")

    assert code == 1
    assert why in said


def test_an_address_where_nobody_listens_is_refused_without_showing_its_password(path):
    put(path, "Redis server v=7.2.4")

    code, said = look(path, CI="true", QUORATE_TEST_REDIS_URL=NOBODY)

    assert code == 1
    assert "QUORATE_TEST_REDIS_URL is set, but" in said
    assert "unset QUORATE_TEST_REDIS_URL" in said
    assert "hush" not in said


def test_what_the_script_tells_to_start_is_in_docker_compose(path):
    compose = (ROOT / "docker-compose.yml").read_text()

    said = look(path)[1]

    service = said.partition("--wait ")[2].split()[0]
    assert f"\n  {service}:\n" in compose
    assert "QUORATE_TEST_REDIS_URL=" in compose


def elsewhere(tmp_path: Path) -> Path:
    """The scripts in a checkout where nothing was fetched yet."""
    shutil.copytree(ROOT / "scripts", tmp_path / "checkout" / "scripts")
    return tmp_path / "checkout"


def test_a_server_that_can_only_be_fetched_is_named_with_what_to_do(path, tmp_path):
    done = subprocess.run(
        [sys.executable, elsewhere(tmp_path) / "scripts" / "servers.py", "consul"],
        env={"PATH": str(path), "CI": "true"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "MISSING: consul 1.8 or newer" in done.stdout
    assert "this is not a Debian: it has no apt-get" in done.stdout
    assert "put the program consul on the PATH" in done.stdout
    assert "docker compose up --detach --wait consul" in done.stdout
    assert "QUORATE_TEST_CONSUL_URL" in done.stdout


def test_what_was_fetched_before_is_found(path, tmp_path):
    checkout = elsewhere(tmp_path)
    program = checkout / ".servers/consul/usr/bin/consul"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho Consul v1.8.7\n")
    program.chmod(0o755)

    done = subprocess.run(
        [sys.executable, checkout / "scripts" / "servers.py", "consul"],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == f"consul 1.8.7 ({program})\n"


def test_every_server_of_the_tests_is_in_docker_compose():
    script = (ROOT / "scripts" / "servers.py").read_text()
    compose = (ROOT / "docker-compose.yml").read_text()

    services = re.findall(r'compose="(\w+)"', script)

    assert len(services) == len(re.findall(r"^    Server\($", script, re.MULTILINE))
    for service in services:
        assert f"\n  {service}:\n" in compose
    for variable in re.findall(r'variable="(\w+)"', script):
        assert f"{variable}=" in compose


def test_a_name_that_is_no_server_is_refused():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "servers.py", "mysql"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "redis-server, consul, postgres" in done.stdout
