"""`rediss://`: TLS to a real redis-server, checked against its certificate."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.ports import free_port
from tests.servers import Server, StartServer

import quorate
from quorate.core.errors import StoreUnavailable
from quorate.wire.redis import open_wire


def certificate(folder: Path, name: str) -> Path:
    """A certificate of its own for 127.0.0.1, and beside it its key."""
    openssl = shutil.which("openssl")
    assert openssl, "openssl is needed to make a certificate: apt-get install openssl"
    path = folder / f"{name}.pem"
    subprocess.run(
        [
            openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
            "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", str(folder / f"{name}.key"), "-out", str(path),
        ],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return path


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    return certificate(tmp_path, "trusted")


@pytest.fixture
def server(start_server: StartServer, trusted: Path) -> tuple[Server, int]:
    """A server that speaks plain on one port and TLS on the next free one."""
    port = free_port()
    return (
        start_server(
            "redis",
            options={
                "tls-port": str(port),
                "tls-cert-file": str(trusted),
                "tls-key-file": str(trusted.with_suffix(".key")),
                "tls-ca-cert-file": str(trusted),
                "tls-auth-clients": "no",
            },
        ),
        port,
    )


async def test_everything_goes_through_tls(server, trusted: Path, namespace: str):
    _, port = server
    url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={trusted}"
    settings = quorate.load_settings(environ={"QUORATE_NAMESPACE": namespace})

    async with quorate.connect(url, settings=settings) as node:
        async with node.locks.acquire_lock("a") as grant:
            assert grant.token > 0
        assert await node.config.set("a.b", 1) == 1
        # Messages come through TLS as well: the waiter is told, and does not poll.
        first = node.locks.acquire_lock("b", owner="one")
        await first.__aenter__()
        second = node.locks.acquire_lock("b", owner="two", wait_s=5)
        await first.__aexit__(None, None, None)
        async with second:
            pass


async def test_a_certificate_that_is_not_trusted_is_refused(
    server, tmp_path: Path, namespace: str
):
    _, port = server
    stranger = certificate(tmp_path, "stranger")

    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await open_wire(
            f"rediss://127.0.0.1:{port}?ssl_ca_certs={stranger}", namespace=namespace
        )


async def test_a_plain_server_does_not_do_for_tls(
    private_server: Server, namespace: str
):
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await open_wire(
            private_server.url.replace("redis://", "rediss://"), namespace=namespace
        )
