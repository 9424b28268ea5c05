"""Where a RabbitMQ is, from a URL. Pure.

amqp://[user[:password]@]host[:port][/vhost]
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from quorate.core.errors import InvalidUrl
from quorate.core.secret import masked_url

PORTS = {"amqp": 5672, "amqps": 5671}
_HOW = "Write it as amqp://[user:password@]host[:port][/vhost]."
_ENCODE = (
    "Percent-encode what stands in user, password and vhost: / is %2F, # is %23, "
    "@ is %40."
)
_UNSEEN = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class RabbitPlace:
    """A broker. `url` may hold a password; its timeouts are settings, not parts."""

    url: str = field(repr=False)
    host: str
    port: int
    vhost: str

    @property
    def shown(self) -> str:
        """Without the password, for logs and errors."""
        scheme = self.url.partition("://")[0]
        return f"{scheme}://{self.host}:{self.port}/{self.vhost.removeprefix('/')}"


def read_rabbit_url(url: str) -> RabbitPlace:
    """The parts of an `amqp://` or `amqps://` URL. Raises `InvalidUrl`."""
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
        ) from None  # that error may quote a piece of the password
    vhost = parts.path.removeprefix("/")
    if parts.fragment or "/" in vhost or "@" in f"{parts.path}{parts.query}":
        raise InvalidUrl(f"{shown} has a / ? or # where none belongs.", "", _ENCODE)
    if not parts.hostname:
        raise InvalidUrl(f"{shown} names no host.", "", _HOW)
    if port == 0:
        raise InvalidUrl(f"{shown} has port 0.", "", "RabbitMQ listens on 5672.")
    if parts.query:
        raise InvalidUrl(
            f"{shown} has parameters.",
            "Timeouts and limits are settings, not part of the address.",
            _HOW,
        )
    return RabbitPlace(
        url=url,
        host=parts.hostname,
        port=port or PORTS[parts.scheme],
        vhost=unquote(vhost) or "/",
    )
