"""Unpacks one package of an older Debian into a folder, without installing it.

For what a machine's own release no longer has. The mirror is the one that the machine's
package sources name; apt checks the archive's signature, with lists of its own, so that
nothing of the system changes and no rights are needed; and the file must have the
digest that is pinned for this architecture.

    python scripts/debian_archive.py SUITE PACKAGE VERSION FOLDER PIN ...

A pin is an architecture and its digest: amd64=e4e888bb…
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

APT = Path("/etc/apt")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TOOLS = ("apt-get", "dpkg", "dpkg-deb")
ENOUGH_S = 250


class NotThere(Exception):
    """It cannot be had; the message says why."""


def mirror_in(folder: Path) -> str | None:
    """Where a machine with these package sources gets Debian from."""
    lists = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    for path in lists:
        if path.suffix not in (".list", ".sources") or not path.is_file():
            continue
        for line in path.read_text(errors="replace").splitlines():
            if not re.match(r"\s*(deb\s|URIs:)", line):
                continue
            for url in map(str, re.findall(r"[a-z+]+:/\S+", line)):
                if "debian" in urlsplit(url).path.split("/"):
                    return url
    return None


def download(suite: str, package: str, version: str, folder: Path) -> Path:
    """The package's file, in `folder`."""
    mirror = mirror_in(APT)
    if mirror is None:
        raise NotThere(f"no package source in {APT} is a Debian")
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    (folder / "status").touch()
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    sources = folder / "sources.list"
    sources.write_text(f"deb {signed}{mirror} {suite} main\n")
    own = {
        "Dir::Etc::sourcelist": str(sources),
        "Dir::Etc::sourceparts": os.devnull,
        "Dir::State": str(folder / "state"),
        "Dir::State::status": str(folder / "status"),
        "Dir::Cache": str(folder / "cache"),
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "",
    }
    options = [
        word for name, value in own.items() for word in ("-o", f"{name}={value}")
    ]
    for what in (["update"], ["download", f"{package}={version}"]):
        run("apt-get", "-q", *options, *what, cwd=folder)
    (file,) = folder.glob("*.deb")
    return file


def check(file: Path, sha256: str) -> None:
    is_really = hashlib.sha256(file.read_bytes()).hexdigest()
    if is_really != sha256:
        raise NotThere(f"{file.name} has the digest {is_really}; pinned is {sha256}")


def unpack(file: Path, place: Path) -> None:
    """Into a folder beside first, so that a half-unpacked one is never used."""
    half = place.with_name(f"{place.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    run("dpkg-deb", "-x", str(file), str(half), cwd=half)
    shutil.rmtree(place, ignore_errors=True)
    half.rename(place)


def run(*command: str, cwd: Path) -> str:
    """What it says, once it has ended well."""
    try:
        done = subprocess.run(
            command,
            check=True,
            cwd=cwd,
            timeout=ENOUGH_S,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired as error:
        raise NotThere(f"{command[0]} took over {ENOUGH_S} s") from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout).strip().splitlines()[-3:]
        raise NotThere(f"{command[0]} failed: {' '.join(last)}") from error
    return done.stdout


def main(suite: str, package: str, version: str, place: str, *pins: str) -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise NotThere(f"this is not a Debian: it has no {' and no '.join(missing)}")
    sha256 = dict(pin.split("=", 1) for pin in pins)
    architecture = run("dpkg", "--print-architecture", cwd=APT).strip()
    if architecture not in sha256:
        raise NotThere(f"no file is pinned for the architecture {architecture}")
    with tempfile.TemporaryDirectory() as folder:
        file = download(suite, package, version, Path(folder))
        check(file, sha256[architecture])
        unpack(file, Path(place))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (NotThere, OSError) as error:
        sys.exit(str(error))
