"""uvicorn's HTTP protocol, made fit for strangers: bounded in what it keeps, and gentle at the end.

uvicorn bounds neither the size of a request's head nor the time that it may take, and closes idle
connections at the first signal, though a request may just be on its way.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from edge_service.answers import JSON, BadRequest, HeadersTooLarge, ServiceError

__all__ = ["BoundedProtocol"]

MAX_HEAD_BYTES = 32 * 1024
HEAD_SECONDS = 10.0
LINGER_SECONDS = 0.25


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _in_head = True
    _in_body = False
    _is_last = False
    _head_bytes = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer: it would keep the connection's memory."""
        super().connection_lost(exc)
        self._stop_timer()

    def data_received(self, data: bytes) -> None:
        """Parse, and see that no head grows or lasts without end."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse(HeadersTooLarge())
                return
        self._watch()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - its text is for people only
        """Answer what is not HTTP, in the form of every other error."""
        self._refuse(BadRequest("The request is not HTTP"))

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = True
        self._in_body = False
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._in_head = False
        self._in_body = True
        super().on_headers_complete()
        if self._is_last and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Its body is there, too."""
        super().on_message_complete()
        self._in_body = False

    def on_response_complete(self) -> None:
        """It is answered, perhaps before all of it came."""
        super().on_response_complete()
        self._watch()

    def shutdown(self) -> None:
        """Answer what is under way, and what may be on its way already; then close."""
        self._is_last = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif not self.transport.is_closing():
            self._stop_timer()
            self._timer = self.loop.call_later(LINGER_SECONDS, self._close_unless_busy)

    def _watch(self) -> None:
        """A timer for as long as the peer owes us the rest of a request."""
        if self._is_last:
            return
        answered = self.cycle is not None and self.cycle.response_complete
        if self._in_head or (self._in_body and answered):
            if self._timer is None and not self.transport.is_closing():
                self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)
        else:
            self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_unless_busy(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _refuse(self, error: ServiceError) -> None:
        body: JSON = error.body()
        content = json.dumps(body, separators=(",", ":")).encode("ascii")
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"cache-control: no-store\r\nvary: Origin\r\nconnection: close\r\n\r\n%s"
            % (error.status, HTTPStatus(error.status).phrase.encode("ascii"), len(content), content)
        )
        self.transport.close()
