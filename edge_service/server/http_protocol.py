"""uvicorn's HTTP protocol, made fit for strangers: bounded in what it keeps, and gentle at the end.

uvicorn bounds neither the size of a request's head nor the time that it may take, nor how many
requests may come before the first one is answered, and closes idle connections at the first signal,
though a request may just be on its way. httptools ends a request that offers an upgrade after its
head, and parses the body, when it arrives later, as the next request.
"""

from __future__ import annotations

import asyncio
import json
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from edge_service.errors import BadRequest, HeadersTooLarge, ServiceError, UpgradeWithBody
from edge_service.strict_json import JSON
from edge_service.web.upgrades import has_body

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

__all__ = ["BoundedProtocol"]

MAX_HEAD_BYTES = 32 * 1024
# Sixteen times the largest body that is read; the rest of a larger one is not waited for.
MAX_BODY_BYTES = 64 * 1024
MAX_PIPELINED = 32
HEAD_SECONDS = 10.0
STALL_SECONDS = 10.0
LINGER_SECONDS = 0.25


# Methods that are replaced below. Most of them nobody promises, and one that uvicorn renames would
# never be called.
_REPLACED = (
    *("connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing"),
    *("on_message_begin", "on_header", "on_headers_complete", "on_message_complete"),
    *("on_response_complete", "send_400_response", "shutdown"),
    *("_start_asgi_task", "_unsupported_upgrade_warning"),
    *("_should_upgrade", "handle_websocket_upgrade"),
)


if _gone := [name for name in _REPLACED if not callable(getattr(HttpToolsProtocol, name, None))]:
    raise ImportError(
        f"uvicorn {uvicorn.__version__} lacks {', '.join(_gone)}, without which nothing bounds a "
        "request: install the version that constraints.txt names",
        name="uvicorn",
    )


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _in_head = True
    _in_body = False
    _is_last = False
    _is_deaf = False
    _head_bytes = 0
    _body_bytes = 0
    _piece = b""
    _head_to_repeat = b""
    _refusal: ServiceError | None = None
    _running: RequestResponseCycle | None = None
    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers: they would keep the connection's memory."""
        if self._running is not None:
            # uvicorn tells the last request only, and others under way would write in vain.
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)
        self._stop_timer()
        self._stop_stalled()

    def data_received(self, data: bytes) -> None:
        """Parse, and see that no head grows or lasts without end."""
        if not self._is_deaf:
            self._piece = data
            super().data_received(data)
            self._piece = b""
        if self._in_body or self._is_deaf:
            self._body_bytes += len(data)
            if self._body_bytes > MAX_BODY_BYTES:
                self.transport.abort()
                return
        elif self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse(HeadersTooLarge())
                return
        self._watch()

    def handle_websocket_upgrade(self) -> None:
        """Stop the timers: the connection belongs to another protocol from here on."""
        self._is_last = True
        self._stop_timer()
        super().handle_websocket_upgrade()

    def _should_upgrade(self) -> bool:
        """Whether it becomes a WebSocket; its handshake is HTTP/1.1 (RFC 6455) and has no body."""
        is_current = self.parser.get_http_version() == "1.1"
        return is_current and not has_body(self.headers) and super()._should_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: the request is answered as if it had not offered an upgrade."""
        error = sys.exception()
        if not self._head_to_repeat or not isinstance(error, httptools.HttpParserUpgrade):
            return
        piece = self._head_to_repeat + self._piece[error.args[0] :]
        self._head_to_repeat = b""
        # The old parser has ended the request.
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._piece = piece
        super().data_received(piece)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - its text is for people only
        """Answer what is not HTTP, in the form of every other error."""
        self._refuse(self._refusal or BadRequest("The request is not HTTP"))

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = True
        self._in_body = False
        self._head_bytes = self._body_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field of the head; one behind the body could pass for what a proxy has set."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its head is there: refuse it here and the parser stops, whatever else has come."""
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refusal = BadRequest("Too many requests at once")
        elif self._head_bytes + len(self._piece) > MAX_HEAD_BYTES and self._is_large():
            self._refusal = HeadersTooLarge()
        if self._refusal is not None:
            raise self._refusal
        if self.parser.should_upgrade() and not self._should_upgrade():
            if self._is_old():
                self._head_to_repeat = self._head_without_upgrade()
                return
            self._is_deaf = True
            self._refuse_upgrade_with_body()
        self._in_head = False
        self._in_body = True
        super().on_headers_complete()
        if (self._is_last or self._is_deaf) and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Its body is there, too."""
        if self._head_to_repeat:
            return
        super().on_message_complete()
        self._in_body = False

    def on_response_complete(self) -> None:
        """It is answered, perhaps before all of it came."""
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """The peer reads slowly, or not at all, which nobody else would ever end."""
        super().pause_writing()
        self._end_unless_read(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """It reads on."""
        super().resume_writing()
        self._stop_stalled()

    def shutdown(self) -> None:
        """Answer what is under way, and what may be on its way already; then close."""
        self._is_last = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif not self.transport.is_closing():
            self._stop_timer()
            self._timer = self.loop.call_later(LINGER_SECONDS, self._close_unless_busy)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _is_old(self) -> bool:
        """Whether its version ignores `Upgrade` (RFC 9110, section 7.8); httptools does not."""
        # With or without the field, httptools ends a CONNECT.
        return self.parser.get_http_version() == "1.0" and not self._is_connect()

    def _is_connect(self) -> bool:
        return self.parser.get_method() == b"CONNECT"

    def _head_without_upgrade(self) -> bytes:
        fields = b"".join(b"%s: %s\r\n" % pair for pair in self.headers if pair[0] != b"upgrade")
        return b"%s %s HTTP/1.0\r\n%s\r\n" % (self.parser.get_method(), self.url, fields)

    def _refuse_upgrade_with_body(self) -> None:
        """Answer in the place of an application that would take it for one without a body."""
        if self._is_connect() or not has_body(self.headers):
            return
        state = getattr(self.app, "state", None)
        if not getattr(state, "refuses_upgrades", False):
            # No other request of this connection is answered after this one.
            error = UpgradeWithBody(headers={"Cache-Control": "no-store", "Vary": "Origin"})
            self.app = error.answer()

    def _is_large(self) -> bool:
        """Whether it is the head, and not what came before or after it in the same piece."""
        fields = sum(len(name) + len(value) + 4 for name, value in self.headers)
        return len(self.url) + fields > MAX_HEAD_BYTES

    def _watch(self) -> None:
        """A timer for as long as the peer owes us the rest of a request."""
        if self._is_last:
            return
        answered = self.cycle is not None and self.cycle.response_complete
        # Line breaks between two requests stop the timer for idle connections, and begin nothing.
        forgotten = not self._in_body and answered and self.timeout_keep_alive_task is None
        if self._in_head or (self._in_body and answered) or forgotten:
            if self._timer is None and not self.transport.is_closing():
                self._timer = self.loop.call_later(HEAD_SECONDS, self._close)
        else:
            self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_unless_read(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if self._stalled is not None and left >= before:
            self.transport.abort()
        else:
            self._stalled = self.loop.call_later(STALL_SECONDS, self._end_unless_read, left)

    def _stop_stalled(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _close_unless_busy(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._close()

    def _close(self) -> None:
        """Close once the peer has taken what is left to send, but do not wait for ever."""
        self.transport.close()
        self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def _refuse(self, error: ServiceError) -> None:
        body: JSON = error.body()
        content = json.dumps(body, separators=(",", ":")).encode("ascii")
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"cache-control: no-store\r\nvary: Origin\r\nconnection: close\r\n\r\n%s"
            % (error.status, HTTPStatus(error.status).phrase.encode("ascii"), len(content), content)
        )
        self.transport.close()
