"""The wheel holds all that the library needs, and nothing of this checkout.

Built from a copy of the sources, so that files left by earlier builds cannot help, and
tried from an empty folder with only the wheel's content before the dependencies.
"""

import email
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LIBRARY = ROOT / "pkg" / "quorate"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LEFTOVERS = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.pyc")


def python(*words: str, folder: Path) -> str:
    """Run this environment's Python in `folder`; what it says."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "pkg", folder / "pkg", ignore=LEFTOVERS)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", ".")
    python(*build, folder=folder)
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel in it, and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
    python(*install, "--target", str(target), str(wheel), folder=target)
    return target


def content(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (n for n in archive.namelist() if n.endswith(f".dist-info/{name}"))
        return archive.read(path).decode()


def test_every_module_every_script_and_the_type_marker_are_inside(wheel):
    wanted = {
        f"quorate/{path.relative_to(LIBRARY).as_posix()}"
        for path in LIBRARY.rglob("*")
        if path.suffix in {".py", ".lua"} or path.name == "py.typed"
    }

    missing = wanted - content(wheel)

    assert "quorate/py.typed" in wanted
    assert any(name.endswith(".lua") for name in wanted)
    assert missing == set()


def test_tests_and_leftovers_are_not_inside(wheel):
    strangers = {
        name
        for name in content(wheel)
        if not name.startswith(("quorate/", "quorate-")) or "__pycache__" in name
    }

    assert strangers == set()


def test_the_extras_and_the_licence_are_told(wheel):
    told = email.message_from_string(metadata(wheel, "METADATA"))

    assert set(told.get_all("Provides-Extra", [])) == set(
        PROJECT["optional-dependencies"]
    )
    assert told["License-Expression"] == "Apache-2.0"
    assert told.get_all("License-File") == ["LICENSE"]
    assert told["Requires-Python"] == PROJECT["requires-python"]


def test_it_is_imported_from_an_empty_folder(installed, tmp_path):
    script = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "import quorate; print(*quorate.__path__)"
    )

    where = python("-c", script, folder=tmp_path)

    assert Path(where.strip()) == installed / "quorate"


def test_every_module_of_it_can_be_imported(installed, tmp_path):
    script = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "import importlib, pkgutil, quorate\n"
        "for found in pkgutil.walk_packages(quorate.__path__, 'quorate.'):\n"
        "    if not found.name.endswith('__main__'):\n"
        "        importlib.import_module(found.name)\n"
        "        print(found.name)"
    )

    names = python("-c", script, folder=tmp_path)

    assert "quorate.core.errors" in names.split()


def test_the_command_quorate_is_there_to_be_called(installed, tmp_path):
    script = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "from importlib.metadata import entry_points\n"
        "(command,) = entry_points(group='console_scripts', name='quorate')\n"
        "print(callable(command.load()), command.load.__self__.dist.locate_file(''))"
    )

    is_callable, where = python("-c", script, folder=tmp_path).split()

    assert is_callable == "True"
    assert Path(where) == installed
