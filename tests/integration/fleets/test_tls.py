"""`rediss+cluster://`: every node through TLS, checked against its certificate."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.anywhere import publish
from tests.fleets import Cluster, StartCluster

from quorate.core.errors import StoreUnavailable
from quorate.wire.redis import open_wire

pytestmark = pytest.mark.fleet


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of its own for 127.0.0.1, and beside it its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is needed to make a certificate")
    path = tmp_path / "node.pem"
    subprocess.run(
        [
            openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
            "-subj", "/CN=node", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", str(path.with_suffix(".key")), "-out", str(path),
        ],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return path


@pytest.fixture
def cluster(certificate: Path, start_cluster: StartCluster) -> Cluster:
    options = {
        "tls-cert-file": str(certificate),
        "tls-key-file": str(certificate.with_suffix(".key")),
        "tls-ca-cert-file": str(certificate),
        "tls-auth-clients": "no",
        "tls-cluster": "yes",
    }
    return start_cluster("redis", options=options)


async def test_every_node_is_spoken_to_through_tls(
    cluster: Cluster, certificate: Path
) -> None:
    port = cluster.servers[0].tls_port
    url = f"rediss+cluster://127.0.0.1:{port}?ssl_ca_certs={certificate}"
    wire = await open_wire(url)
    got: list[bytes] = []

    for tag in wire.keys.lock_tags:
        assert await wire.calls.command("INCR", f"{tag}:n") == 1
        await wire.inbox.subscribe(f"{tag}:news", got.append)
        assert await publish(wire, f"{tag}:news", tag) == 1

    told = {name.rpartition(":")[2] for name in wire.calls.topology.map.owners}
    assert told == {str(server.tls_port) for server in cluster.servers}
    await wire.stop()


async def test_a_certificate_that_nobody_trusts_is_refused(cluster: Cluster) -> None:
    port = cluster.servers[0].tls_port

    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await open_wire(f"rediss+cluster://127.0.0.1:{port}")
