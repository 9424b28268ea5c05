"""Where an instance can be called: `http://10.0.0.7:8080/api`, or plain `host:port`.

Checked when it is made, so that a registry never hands out what cannot be dialled.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from quorate.core.errors import InvalidUrl

USUAL_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
MAX_ENDPOINT_CHARS = 512


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The parts of an endpoint. `scheme` is empty for plain `host:port`."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, text: object) -> Endpoint:
        """Raises `InvalidUrl` for what cannot be dialled, and for credentials."""
        if not isinstance(text, str) or not text:
            raise _refused(text, "It must be a text that is not empty.")
        if len(text) > MAX_ENDPOINT_CHARS:
            raise _refused(text[:60], f"It is over {MAX_ENDPOINT_CHARS} characters.")
        if not text.isprintable() or " " in text:
            raise _refused(text, "It has spaces or control characters in it.")
        try:
            parts = urlsplit(text if "://" in text else f"//{text}")
            port = parts.port
        except ValueError as error:
            raise _refused(text, str(error)) from error
        if "@" in parts.netloc:
            raise _refused("…", "It has credentials in it, which everybody would see.")
        if not parts.hostname:
            raise _refused(text, "It has no host.")
        if parts.query or parts.fragment:
            raise _refused(text, "A query or fragment has no place in an endpoint.")
        port = port or USUAL_PORTS.get(parts.scheme)
        if not port:
            raise _refused(text, "It has no port from 1 to 65535.")
        return cls(parts.scheme, parts.hostname, port, parts.path)

    @property
    def address(self) -> str:
        """`host:port`, with the brackets that an IPv6 address needs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _refused(text: object, why: str) -> InvalidUrl:
    return InvalidUrl(
        f"{text!r} is not an endpoint.",
        why,
        "Write for instance 'http://10.0.0.7:8080' or '10.0.0.7:8080'.",
    )
