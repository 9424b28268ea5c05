"""fakeredis' TCP server, held to the protocol where a client can tell the difference.

As it comes, an error reply ends the connection and has lost its code (`NOSCRIPT`,
`WRONGTYPE`); a real server does neither. Only `memory.py` imports this file, because
importing fakeredis is slow and may fail.
"""

from __future__ import annotations

import contextlib
import threading
from socketserver import BaseRequestHandler
from typing import Any

from fakeredis import TcpFakeServer
from fakeredis._clients._tcp_server import TCPFakeRequestHandler
from fakeredis._helpers import SimpleError

VERSION = (7,)
POLL_S = 0.02


def _faithful(error: SimpleError) -> SimpleError:
    """The error as the server said it, on one line; fakeredis then sends it as is."""
    return SimpleError(error.value.replace("\r", " ").replace("\n", " "))


class _Handler(TCPFakeRequestHandler):
    """One connection. Replies leave at once instead of waiting for the next."""

    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        vars(self.current_client.get_socket())["_decode_error"] = _faithful

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()


class FakeTcpServer(TcpFakeServer):
    """Serves on a free port of 127.0.0.1 until `end`."""

    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), server_version=VERSION)
        self.RequestHandlerClass: type[BaseRequestHandler] = _Handler
        # One that somebody forgot to close must not keep the interpreter from ending.
        self.daemon_threads = True
        self._handlers: set[threading.Thread] = set()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def serve(self) -> None:
        """Accept connections until `end` is called from another thread."""
        self.serve_forever(poll_interval=POLL_S)

    def end(self) -> None:
        """Stop accepting, end every connection, wait until their threads are gone."""
        self.shutdown()
        self.server_close()
        for handler in tuple(self._handlers):
            handler.join()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        me = threading.current_thread()
        self._handlers.add(me)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._handlers.discard(me)
