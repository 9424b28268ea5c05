"""The shape of every key: which hash tag it carries. Pure.

Keys that one script touches must lie in one slot of a Cluster, so each carries a tag in
braces. On a single server and under Sentinel there is one tag for everything; a
Cluster spreads locks over stripes and gives each queue its own.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass
from urllib.parse import quote

from quorate.core.errors import InvalidName, MissingCapability

STRIPES = 64
MOST_STRIPES = 1024
_NAMESPACE = re.compile(r"[A-Za-z0-9-]{1,64}")
_LONGEST = 200
_PLAIN = "!$&'()*+,-./:;<=>?@[]^_`|~ #\"\\"


@dataclass(frozen=True, slots=True)
class Keyspace:
    """The keys of one namespace. Without `stripes`, on a single server, one tag."""

    namespace: str
    stripes: int = 0

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
    def is_spread(self) -> bool:
        """Do the keys lie in several slots, as in a Cluster?"""
        return self.stripes > 0

    @property
    def tag(self) -> str:
        """The one tag of a single server. A Cluster has none."""
        if self.is_spread:
            raise MissingCapability(
                "There is no tag for everything in a Cluster.",
                "Its keys are spread over many slots.",
                "Use lock_tag, queue_tag, registry_tag or config_tag.",
            )
        return f"{{{self.namespace}}}"

    @property
    def registry_tag(self) -> str:
        return self._tag("reg")

    @property
    def config_tag(self) -> str:
        return self._tag("cfg")

    @property
    def lock_tags(self) -> tuple[str, ...]:
        """The tags of all stripes: what lists all locks asks in each."""
        return tuple(self._tag(str(n)) for n in range(self.stripes or 1))

    def lock_tag(self, name: str) -> str:
        """The tag of the stripe in which the lock `name` lives."""
        if not self.stripes:
            return f"{{{self.namespace}}}"
        return self._tag(str(zlib.crc32(name.encode()) % self.stripes))

    def queue_tag(self, queue: str) -> str:
        """The tag of all keys of one queue."""
        return self._tag(f"q.{plain(queue)}" if self.is_spread else "")

    def _tag(self, part: str) -> str:
        return f"{{{self.namespace}.{part}}}" if self.is_spread else self.tag


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
