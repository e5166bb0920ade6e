"""uvicorn's HTTP protocol, with limits for untrusted clients and a graceful shutdown.

uvicorn does not limit the size of a request head, the time to receive it, or the number of
pipelined requests. At shutdown it closes idle connections at once, even if a request is on its way.
httptools ends a request that offers an upgrade after its head, and parses a body that arrives later
as the next request. It accepts heads that RFC 9112 forbids, and refuses unknown methods with an
answer that no page can read.
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
from edge_service.server.request_head import check_head, unknown_method
from edge_service.strict_json import JSON
from edge_service.web.upgrades import has_body

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

__all__ = ["BoundedProtocol"]

MAX_HEAD_BYTES = 32 * 1024
# Sixteen times the largest body that the service reads. A larger body closes the connection.
MAX_DISCARDED_BODY_BYTES = 64 * 1024
MAX_PIPELINED = 32
HEAD_SECONDS = 10.0
STALL_SECONDS = 10.0
LINGER_SECONDS = 1.0


# The methods overridden below. Most are private: if uvicorn renames one, ours is never called.
_REPLACED = (
    *("connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing"),
    *("on_message_begin", "on_header", "on_headers_complete", "on_message_complete"),
    *("on_response_complete", "send_400_response", "shutdown"),
    *("_start_asgi_task", "_unsupported_upgrade_warning"),
    *("_should_upgrade", "handle_websocket_upgrade"),
)


if _missing := [name for name in _REPLACED if not callable(getattr(HttpToolsProtocol, name, None))]:
    raise ImportError(
        f"uvicorn {uvicorn.__version__} lacks {', '.join(_missing)}, which the limits on requests "
        "need: install the version in constraints.txt",
        name="uvicorn",
    )


class BoundedProtocol(HttpToolsProtocol):
    """One connection; use it with `uvicorn --http edge_service.http_protocol:BoundedProtocol`."""

    _in_head = True
    _in_body = False
    _is_last = False
    _ignores_input = False
    _head_bytes = 0
    _body_bytes = 0
    _piece = b""
    _head_to_repeat = b""
    _method: bytes | None = None
    _refusal: ServiceError | None = None
    _running: RequestResponseCycle | None = None
    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout for the first request."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers, which would keep the connection in memory."""
        if self._running is not None:
            # With pipelined requests, uvicorn informs only the last one of the disconnect.
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)
        self._stop_timer()
        self._stop_stalled()

    def data_received(self, data: bytes) -> None:
        """Parse the data, and enforce the limits on head and body."""
        if not self._ignores_input:
            if self._begins_request() and (replaced := unknown_method(data)) is not None:
                self._method, data = replaced
            self._piece = data
            super().data_received(data)
            self._piece = b""
        if self._in_body or self._ignores_input:
            self._body_bytes += len(data)
            if self._body_bytes > MAX_DISCARDED_BODY_BYTES:
                self.transport.abort()
                return
        elif self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse(HeadersTooLarge())
                return
        self._watch()

    def handle_websocket_upgrade(self) -> None:
        """Stop the timers, because another protocol takes the connection over."""
        self._is_last = True
        self._stop_timer()
        super().handle_websocket_upgrade()

    def _should_upgrade(self) -> bool:
        """Whether to accept a WebSocket; its handshake is HTTP/1.1 (RFC 6455) without a body."""
        is_current = self.parser.get_http_version() == "1.1"
        return is_current and not has_body(self.headers) and super()._should_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Parse an HTTP/1.0 request again without its upgrade, instead of uvicorn's warning."""
        error = sys.exception()
        if not self._head_to_repeat or not isinstance(error, httptools.HttpParserUpgrade):
            return
        piece = self._head_to_repeat + self._piece[error.args[0] :]
        self._head_to_repeat = b""
        # The old parser has already ended the request.
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._piece = piece
        super().data_received(piece)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - we send our own message
        """Answer malformed HTTP with a JSON error."""
        self._refuse(self._refusal or BadRequest("The request is not HTTP"))

    def on_message_begin(self) -> None:
        """Reset the counters for a new request."""
        super().on_message_begin()
        self._in_head = True
        self._in_body = False
        self._head_bytes = self._body_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a field of the head; drop trailers, which could imitate headers of a proxy."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check the complete head; raising here stops the parser."""
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refusal = BadRequest("Too many requests at once")
        elif self._head_bytes + len(self._piece) > MAX_HEAD_BYTES and self._is_large():
            self._refusal = HeadersTooLarge()
        if self._refusal is None:
            try:
                check_head(self.parser.get_http_version(), self.url, self.headers)
            except BadRequest as error:
                self._refusal = error
        if self._refusal is not None:
            raise self._refusal
        if self.parser.should_upgrade() and not self._should_upgrade():
            if self._is_old():
                self._head_to_repeat = self._head_without_upgrade()
                return
            self._ignores_input = True
            self._refuse_upgrade_with_body()
        self._in_head = False
        self._in_body = True
        super().on_headers_complete()
        if self._method is not None:
            # The application has not started yet.
            self.scope["method"] = self._method.decode("ascii")
            self._method = None
        if (self._is_last or self._ignores_input) and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Note that the body is complete."""
        if self._head_to_repeat:
            return
        super().on_message_complete()
        self._in_body = False

    def on_response_complete(self) -> None:
        """Start the timeout for the rest of the body, or for the next request."""
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """Start the timeout for a client that does not read; uvicorn has none."""
        super().pause_writing()
        self._abort_unless_read(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Stop that timeout."""
        super().resume_writing()
        self._stop_stalled()

    def shutdown(self) -> None:
        """Finish the current request, wait shortly for one on its way, and close."""
        self._is_last = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif not self.transport.is_closing():
            self._stop_timer()
            self._timer = self.loop.call_later(LINGER_SECONDS, self._close_unless_busy)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _begins_request(self) -> bool:
        """Whether new data is the beginning of a request."""
        return not self._in_body and not (self._in_head and self._head_bytes)

    def _is_old(self) -> bool:
        """Whether HTTP/1.0 ignores its `Upgrade` (RFC 9110, section 7.8); httptools does not."""
        # httptools ends a CONNECT with and without the field.
        return self.parser.get_http_version() == "1.0" and not self._is_connect()

    def _is_connect(self) -> bool:
        return self.parser.get_method() == b"CONNECT"

    def _head_without_upgrade(self) -> bytes:
        fields = b"".join(b"%s: %s\r\n" % pair for pair in self.headers if pair[0] != b"upgrade")
        return b"%s %s HTTP/1.0\r\n%s\r\n" % (self.parser.get_method(), self.url, fields)

    def _refuse_upgrade_with_body(self) -> None:
        """Answer instead of an application that cannot know that there is a body."""
        if self._is_connect() or not has_body(self.headers):
            return
        state = getattr(self.app, "state", None)
        if not getattr(state, "refuses_upgrades", False):
            # Replacing the application is safe: this is the connection's last request.
            error = UpgradeWithBody(headers={"Cache-Control": "no-store", "Vary": "Origin"})
            self.app = error.answer()

    def _is_large(self) -> bool:
        """Whether the head alone, without other data in the same piece, is too large."""
        fields = sum(len(name) + len(value) + 4 for name, value in self.headers)
        return len(self.url) + fields > MAX_HEAD_BYTES

    def _watch(self) -> None:
        """Run the timer while the rest of a request is missing."""
        if self._is_last:
            return
        answered = self.cycle is not None and self.cycle.response_complete
        # Line breaks between two requests stop uvicorn's idle timeout without starting a request.
        has_no_timeout = not self._in_body and answered and self.timeout_keep_alive_task is None
        if self._in_head or (self._in_body and answered) or has_no_timeout:
            if self._timer is None and not self.transport.is_closing():
                self._timer = self.loop.call_later(HEAD_SECONDS, self._close)
        else:
            self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _abort_unless_read(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if self._stalled is not None and left >= before:
            self.transport.abort()
        else:
            self._stalled = self.loop.call_later(STALL_SECONDS, self._abort_unless_read, left)

    def _stop_stalled(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _close_unless_busy(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._close()

    def _close(self) -> None:
        """Close after the remaining data is sent, or after `STALL_SECONDS`."""
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
