"""`rediss://`: calls, messages and the keeper's renewals through TLS.

The certificates are made for the run. Of the servers here only redis-server speaks TLS.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.ports import free_port
from tests.servers import Server, StartServer

from quorate.backend import Backend
from quorate.core.errors import OutcomeUnknown, StoreUnavailable
from quorate.lease.lease import LeaseTerms
from quorate.testing.heard import Heard
from quorate.wire.inbox import InboxRestored
from quorate.wire.redis import open_wire

pytestmark = pytest.mark.redis_server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `cert.pem` and `key.pem`, for localhost and signed by itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl, which makes the certificates, is not on the PATH")
    directory = tmp_path_factory.mktemp("certificates")
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        cwd=directory,
        check=True,
        capture_output=True,
    )
    return directory


@pytest.fixture
def server(start_server: StartServer, certificates: Path) -> Server:
    port = free_port()
    server = start_server(
        "redis",
        options={
            "tls-port": str(port),
            "tls-cert-file": str(certificates / "cert.pem"),
            "tls-key-file": str(certificates / "key.pem"),
            "tls-ca-cert-file": str(certificates / "cert.pem"),
            "tls-auth-clients": "no",
        },
    )
    server.tls_port = port  # type: ignore[attr-defined]
    return server


@pytest.fixture
def url(server: Server, certificates: Path) -> str:
    port = server.tls_port  # type: ignore[attr-defined]
    return f"rediss://localhost:{port}?ssl_ca_certs={certificates / 'cert.pem'}"


async def test_calls_and_messages_pass_through_tls(
    url: str, server: Server, heard: Heard
) -> None:
    wire = await open_wire(url, emit=heard.emit)
    got: list[bytes] = []
    await wire.inbox.subscribe("news", got.append)
    blob = bytes(range(256)) * 4000

    assert await wire.calls.command("ECHO", blob) == blob
    assert await wire.calls.command("PUBLISH", "news", "hello") == 1
    await wire.inbox.subscribe("barrier", print)
    assert got == [b"hello"]

    server.admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await heard(InboxRestored)
    server.admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    answers = []
    for _ in range(3):
        try:
            answers.append(await wire.calls.command("ECHO", "back"))
        except (OutcomeUnknown, StoreUnavailable):
            continue
    assert answers[-1] == b"back"
    await wire.stop()


async def test_a_silent_server_is_left_through_tls_too(
    url: str, server: Server
) -> None:
    wire = await open_wire(url)
    calls = wire.new_calls(limits=wire.limits.at_most(0.3))
    await calls.command("PING")
    server.pause()

    with pytest.raises(OutcomeUnknown):
        await calls.command("PING")
    server.resume()

    assert await calls.command("ECHO", "mine") == b"mine"
    await calls.close()
    await wire.stop()


async def test_a_session_is_kept_through_tls(url: str, server: Server) -> None:
    terms = LeaseTerms(ttl_s=0.8, renew_every_s=0.2, retry_every_s=0.05)
    async with Backend(url, terms=terms) as backend:
        name = await backend.session.join("{a}")
        first = backend.session.trusted_until("{a}")
        while backend.session.trusted_until("{a}") < first + 1.0:
            await backend.clock.sleep(0.05)

        assert backend.session.name_in("{a}") == name
        assert server.admin.zscore("{a}:S", name) is not None


async def test_a_server_that_nobody_vouches_for_is_not_spoken_to(
    url: str, server: Server
) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached") as refused:
        await open_wire(url.partition("?")[0])

    assert "ertificate" in str(refused.value)
    unchecked = await open_wire(f"{url.partition('?')[0]}?ssl_cert_reqs=none")
    assert await unchecked.calls.command("PING") == b"PONG"
    await unchecked.stop()


async def test_plain_words_to_a_tls_port_are_unavailable(
    url: str, server: Server
) -> None:
    plain = url.partition("?")[0].replace("rediss://", "redis://")

    with pytest.raises(StoreUnavailable):
        await open_wire(plain)
