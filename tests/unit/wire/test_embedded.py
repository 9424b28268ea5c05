"""`embedded://` names what is missing or wrong. (How it lives: tests/integration.)"""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest

from quorate.core.errors import InvalidUrl, MissingCapability, StoreUnavailable
from quorate.wire import embedded
from quorate.wire.embedded import EmbeddedServer, open_embedded


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is started instead of valkey-server."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    monkeypatch.setattr(embedded, "_binary", lambda: program)
    return program


async def test_a_missing_extra_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_wheel(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", no_wheel)

    with pytest.raises(MissingCapability, match=r"pip install 'quorate\[embedded\]'"):
        await open_embedded("embedded://")


async def test_a_directory_that_cannot_be_is_refused_before_anything_starts(
    program: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidUrl, match="cannot be used"):
        await open_embedded(f"embedded://{program}")

    assert list(tmp_path.iterdir()) == [program]


async def test_a_server_that_ends_at_once_is_told_with_its_last_words(
    program: Path, tmp_path: Path
) -> None:
    program.write_text('#!/bin/sh\ngrep pass "$1"; echo "no room for data"; exit 1\n')

    with pytest.raises(StoreUnavailable) as caught:
        await open_embedded(f"embedded://{tmp_path}/home")

    assert "did not come up (ended)" in str(caught.value)
    assert "no room for data" in str(caught.value)
    assert "requirepass ***\n" in str(caught.value)


async def test_a_port_that_was_snatched_away_is_tried_elsewhere(
    program: Path, tmp_path: Path
) -> None:
    ports = tmp_path / "ports"
    program.write_text(
        f'#!/bin/sh\ngrep ^port "$1" >> {ports}\necho "Address in use"\nexit 1\n'
    )

    with pytest.raises(StoreUnavailable):
        await open_embedded(f"embedded://{tmp_path}/home")

    assert len(set(ports.read_text().splitlines())) == embedded.ATTEMPTS


async def test_a_server_that_says_nothing_is_ended(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "pid"
    program.write_text(f"#!/bin/sh\necho $$ > {pid}\nexec sleep 60\n")
    monkeypatch.setattr(embedded, "OPEN_WITHIN_S", 0.3)

    with pytest.raises(StoreUnavailable, match=r"did not come up \(silent\)"):
        await open_embedded(f"embedded://{tmp_path}/home")

    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


async def test_a_directory_that_somebody_else_holds_is_waited_for_and_told(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = embedded.Directory(tmp_path / "home")
    home.prepare()
    held = home.try_lock()
    assert held is not None
    monkeypatch.setattr(embedded, "OPEN_WITHIN_S", 0.05)

    with pytest.raises(StoreUnavailable, match="its start is not finished"):
        await open_embedded(f"embedded://{tmp_path}/home")

    os.close(held)


async def test_an_address_is_not_known_before_it_was_resolved(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)

    with pytest.raises(RuntimeError, match="resolve"):
        _ = server.address

    await server.close()
