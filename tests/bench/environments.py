"""Virtual environments for the peers, apart from the one that Quorate runs in.

A peer may want versions that others cannot live with, so each list of requirements gets
an environment of its own under .bench/, made when its list has changed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".bench"


class NotInstalled(Exception):
    """The peers of this environment cannot be had here; the message says why."""


def environment(name: str, requirements: Path) -> Path:
    """The Python of the environment `name`, which has `requirements` installed."""
    directory = HOME / name
    python = directory / "bin" / "python"
    stamp = directory / ".ready"
    wanted = hashlib.sha256(
        requirements.read_bytes() + sys.version.encode() + str(ROOT).encode()
    ).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted and python.exists():
        return python
    print(f"set-up: installing {requirements.name} into .bench/{name}", flush=True)
    venv.create(directory, with_pip=True, clear=True)
    done = subprocess.run(
        [
            *(str(python), "-m", "pip", "install", "--quiet", "--quiet"),
            *("--disable-pip-version-check", "--requirement", str(requirements)),
        ],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "PIP_USER": "0", "PIP_ROOT_USER_ACTION": "ignore"},
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise NotInstalled(f"{requirements.name}: {' '.join(last)}")
    stamp.write_text(wanted)
    return python
