"""A package of an older Debian comes from the machine's own mirror, or not at all."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "debian_archive.py"


@pytest.fixture
def archive(monkeypatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("debian_archive", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "debian_archive", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """An /etc/apt whose first entries are no Debian."""
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "a.list").write_text(
        "# deb http://old.example/debian buster main\n"
        "deb https://other.example/apt any main\n"
        "deb http://mirror.example/debian-security bookworm-security main\n"
    )
    return tmp_path


def test_the_mirror_is_read_from_a_line_of_the_old_form(archive, sources):
    (sources / "sources.list").write_text(
        "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main\n"
    )

    assert archive.mirror_in(sources) == "http://mirror.example/debian"


def test_the_mirror_is_read_from_a_file_of_the_new_form(archive, sources):
    (sources / "sources.list.d" / "debian.sources").write_text(
        "Types: deb\n"
        "# http://snapshot.example/archive/debian/20250520T000000Z\n"
        "URIs: http://mirror.example/debian/\n"
        "Suites: bookworm\n"
    )

    assert archive.mirror_in(sources) == "http://mirror.example/debian/"


def test_no_mirror_is_made_up(archive, sources):
    assert archive.mirror_in(sources) is None
    assert archive.mirror_in(sources / "nowhere") is None


def test_a_file_that_is_not_the_pinned_one_is_refused(archive, tmp_path):
    file = tmp_path / "consul.deb"
    file.write_bytes(b"something else")

    with pytest.raises(archive.NotThere, match="pinned is 00ff"):
        archive.check(file, "00ff")


def test_the_digests_are_pinned_whole(archive):
    pins = (SCRIPT.parent / "servers.py").read_text().partition("pins=(")[2]

    pins = pins.partition("),\n")[0].replace('"\n', "").replace('"', "").split(",")

    values = [pin.strip().replace(" ", "") for pin in pins if pin.strip()]
    assert [len(value.partition("=")[2]) for value in values] == [64, 64]
