"""Lua in files of their own, run by digest.

A script lies beside the module that runs it, as `scripts/<name>.lua`. Its first line
may be a shebang with flags; a comment follows that says what it does, its KEYS, its
ARGV and what it returns. `-- include <name>` pulls in a fragment from the same folder,
or from the wire's own, where what several rooms need is kept once.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Literal, TypeAlias

Dialect: TypeAlias = Literal["whole", "bare", "sharded"]
"""What a server understands. bare: no shebang. sharded: a Cluster, where a message
goes to the channel's own slot."""

_INCLUDE = re.compile(r"^-- include (\w+)$", re.MULTILINE)
_SHEBANG = re.compile(r"\A#![^\n]*\n")
_IDEMPOTENT = re.compile(r"^-- idempotent\b", re.MULTILINE)
_PUBLISH = re.compile(r"\b(redis\.p?call\()'PUBLISH'")


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script as the server gets it.

    `bare` is the text without the shebang, for servers that do not know it; `sharded`
    is for a Cluster: it says SPUBLISH where the script says PUBLISH.
    `idempotent` means that sending it twice has the effect of sending it once.
    """

    name: str
    text: str
    sha: str
    bare: str
    bare_sha: str
    idempotent: bool
    sharded: str = ""
    sharded_sha: str = ""

    def spoken(self, dialect: Dialect) -> tuple[str, str]:
        """Digest and text for servers of this dialect."""
        if dialect == "bare":
            return self.bare_sha, self.bare
        if dialect == "sharded":
            return self.sharded_sha or self.sha, self.sharded or self.text
        return self.sha, self.text


@lru_cache(maxsize=256)
def load(package: str, name: str) -> Script:
    """The script `<package>/scripts/<name>.lua`, fragments included.

    Whether it is idempotent is said by itself; a fragment cannot say it for others.
    """
    own = _read(package, name)
    text = _expand(package, own, (name,))
    bare = _SHEBANG.sub("", text)
    sharded = _PUBLISH.sub(r"\1'SPUBLISH'", text)
    return Script(
        name=f"{package.rpartition('.')[2]}/{name}",
        text=text,
        sha=_digest(text),
        bare=bare,
        bare_sha=_digest(bare),
        idempotent=bool(_IDEMPOTENT.search(own)),
        sharded=sharded,
        sharded_sha=_digest(sharded),
    )


def _expand(package: str, text: str, within: tuple[str, ...]) -> str:
    """`text` with its fragments; a shebang is legal on the script's first line only."""

    def fragment(found: re.Match[str]) -> str:
        name = found[1]
        if name in within:
            circle = " → ".join((*within, name))
            raise ValueError(f"script {name} includes itself: {circle}")
        source = _SHEBANG.sub("", _fragment(package, name))
        return _expand(package, source, (*within, name)).rstrip("\n")

    return _INCLUDE.sub(fragment, text)


def _fragment(package: str, name: str) -> str:
    try:
        return _read(package, name)
    except FileNotFoundError:
        return _read(__package__, name)


def _read(package: str, name: str) -> str:
    source = resources.files(package).joinpath("scripts", f"{name}.lua")
    return source.read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
