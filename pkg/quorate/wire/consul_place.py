"""Where a Consul agent is and where in its store to write, from a URL. Pure.

    consul://[token@]host[:port][/prefix]

It should be the agent of this machine: sessions and checks belong to the one agent
that they were registered with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from quorate.core.errors import InvalidUrl
from quorate.core.secret import Secret, masked_url

PORT = 8500
PREFIX_BYTES_MAX = 100
_HOW = "Write it as consul://[token@]host[:port][/prefix]."
_ENCODE = "Percent-encode what stands in the token: / is %2F, # is %23, @ is %40."
_UNSEEN = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]")
_STEP = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class ConsulPlace:
    """An agent, the token to show it, and the folder of keys to stay in ("" is all)."""

    host: str
    port: int
    token: Secret
    prefix: str

    def root(self, namespace: str) -> str:
        """The folder of one namespace, without a slash at its ends."""
        return f"{self.prefix}/{namespace}" if self.prefix else namespace


def read_consul_url(url: str) -> ConsulPlace:
    """The parts of a `consul://` URL. Raises `InvalidUrl`."""
    shown = masked_url(url)
    if _UNSEEN.search(url):
        raise InvalidUrl(
            f"{shown!r} has a space or a control character in it.", "", _ENCODE
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidUrl(
            f"{shown} is not a valid URL.",
            "Its host or its port cannot be read.",
            f"{_HOW} {_ENCODE}",
        ) from None  # that error may quote a piece of the token
    if parts.fragment or "@" in f"{parts.path}{parts.query}":
        raise InvalidUrl(f"{shown} has a / ? or # before its host ends.", "", _ENCODE)
    if not parts.hostname:
        raise InvalidUrl(f"{shown} names no host.", "", _HOW)
    if port == 0:
        raise InvalidUrl(f"{shown} has port 0.", "", f"Consul listens on {PORT}.")
    if parts.query:
        raise InvalidUrl(
            f"{shown} has parameters.",
            "Timeouts and limits are settings, not part of the address.",
            _HOW,
        )
    return ConsulPlace(
        host=parts.hostname,
        port=port or PORT,
        token=_token(parts, shown),
        prefix=_prefix(parts.path, shown),
    )


def _token(parts: SplitResult, shown: str) -> Secret:
    if parts.password is not None:
        raise InvalidUrl(
            f"{shown} has a password.",
            "Consul knows no users, only tokens.",
            "Write the token alone before the @.",
        )
    token = unquote(parts.username or "")
    if not token.isascii() or _UNSEEN.search(token):
        raise InvalidUrl(f"{shown} has a token that cannot be sent.", "", _HOW)
    return Secret(token)


def _prefix(path: str, shown: str) -> str:
    prefix = path.strip("/")
    steps = prefix.split("/") if prefix else []
    if len(prefix) > PREFIX_BYTES_MAX or not all(map(_STEP.fullmatch, steps)):
        raise InvalidUrl(
            f"{shown} has a prefix that cannot be used.",
            "It is where this system's keys begin in Consul's store.",
            f"Use up to {PREFIX_BYTES_MAX} letters, digits, hyphens and dots, in steps "
            "divided by slashes.",
        )
    return prefix
