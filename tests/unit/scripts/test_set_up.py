"""`make help` lists every target, and set-up says clearly what is missing."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TARGETS = {"help", "demo", "test", "bench", "faults", "lint", "servers", "clean"}


def run(*command: str | Path, folder: Path = ROOT, path: str = "/usr/bin:/bin", **more):
    environment = {"PATH": path, "HOME": "/nonexistent", **more}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_make_alone_lists_every_target_with_a_sentence_and_without_colour_in_a_pipe():
    done = run("make")

    listed = dict(re.findall(r"^  make ([a-z]+) +([a-z].{10,})$", done.stdout, re.M))
    assert done.returncode == 0
    assert listed.keys() >= TARGETS
    assert "\033" not in done.stdout


def test_every_target_does_the_set_up_that_it_needs():
    makefile = (ROOT / "Makefile").read_text()

    assert set(re.findall(r"^(\w+): set-up", makefile, re.M)) == TARGETS - {
        "help",
        "clean",
    }


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with only what set-up reads, in a place with a space in its name."""
    folder = tmp_path / "my quorate"
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    for name in ("requirements.txt", "pyproject.toml", "Makefile"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with the shell's tools on it, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "env", "cat", "cksum", "dirname", "grep", "rm"):
        (folder / name).symlink_to(str(shutil.which(name)))
    return folder


def test_a_machine_without_python_is_told_so(checkout, tools):
    done = run(checkout / "scripts" / "set_up", folder=checkout, path=str(tools))

    assert done.returncode == 1
    assert "no Python of at least 3.11 was found" in done.stderr
    assert "PYTHON=/path/to/python" in done.stderr


def test_a_python_that_is_too_old_is_not_taken(checkout, tools):
    (tools / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tools / "python3").chmod(0o755)

    done = run(
        checkout / "scripts" / "set_up",
        folder=checkout,
        path=str(tools),
        PYTHON="python3",
    )

    assert done.returncode == 1
    assert "PYTHON=python3 is not a Python of at least 3.11" in done.stderr


def test_a_python_without_venv_is_told_which_package_is_missing(checkout, tools):
    only_version = '#!/bin/sh\ncase "$2" in *venv*) exit 1;; *) exit 0;; esac\n'
    (tools / "python3").write_text(only_version)
    (tools / "python3").chmod(0o755)

    done = run(checkout / "scripts" / "set_up", folder=checkout, path=str(tools))

    assert done.returncode == 1
    assert "python3-venv" in done.stderr
