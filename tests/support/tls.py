"""An upstream under TLS with any behaviour that a test needs."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


class TLSUpstream:
    """Accepts one connection at a time, and passes it to `behave` under TLS."""

    def __init__(self, certificate: Path, behave: Callable[[ssl.SSLSocket], None]) -> None:
        self.received: list[bytes] = []
        self.over = threading.Event()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, certificate.with_name("key.pem"))
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}/api/login"

    def __enter__(self) -> TLSUpstream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with (
                    suppress(OSError),
                    connection,
                    self._context.wrap_socket(connection, server_side=True) as secure,
                ):
                    request = secure.recv(65536)
                    while request and not request.endswith(b"}"):
                        request += secure.recv(65536)
                    self.received.append(request)
                    self._behave(secure)
