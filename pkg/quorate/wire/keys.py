"""The shape of every key: which hash tag it carries. Pure.

Keys that one script touches must lie in one slot of a Cluster, so each carries a tag in
braces. On a single server and under Sentinel there is one tag for everything; a
Cluster spreads locks over stripes and gives each queue its own.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import quote

from quorate.core.errors import InvalidName

_NAMESPACE = re.compile(r"[A-Za-z0-9-]{1,64}")
_LONGEST = 200
_PLAIN = "!$&'()*+,-./:;<=>?@[]^_`|~ #\"\\"


@dataclass(frozen=True, slots=True)
class Keyspace:
    """The keys of one namespace, on a single server."""

    namespace: str

    def __post_init__(self) -> None:
        if not isinstance(self.namespace, str) or not _NAMESPACE.fullmatch(
            self.namespace
        ):
            raise InvalidName(
                f"The namespace {ascii(self.namespace)[:80]} cannot be used.",
                "It becomes the hash tag of every key.",
                "Use up to 64 letters, digits and hyphens, such as 'shop-eu'.",
            )

    @property
    def tag(self) -> str:
        return f"{{{self.namespace}}}"

    @property
    def registry_tag(self) -> str:
        return self.tag

    @property
    def config_tag(self) -> str:
        return self.tag

    def lock_tag(self, name: str) -> str:
        """The tag of the stripe in which the lock `name` lives."""
        return self.tag

    def queue_tag(self, queue: str) -> str:
        """The tag of all keys of one queue."""
        return self.tag


def sessions_key(tag: str) -> str:
    """The ZSET session → end in server ms: who is alive in this tag."""
    return f"{tag}:S"


def plain(name: str) -> str:
    """`name` as part of a key: braces and control bytes escaped, long names hashed.

    Two different names never become the same key.
    """
    escaped = quote(name, safe=_PLAIN)
    if len(escaped) <= _LONGEST:
        return escaped
    digest = hashlib.sha256(name.encode()).hexdigest()
    return f"{escaped[: _LONGEST - 70]}%~{digest}"
