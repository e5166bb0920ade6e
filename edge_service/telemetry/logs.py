"""What the service says about itself: one structured line a request, and never a secret."""

from __future__ import annotations

import json
import logging
import random
import re
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import EventDict, Processor

from edge_service.errors import ServiceError
from edge_service.settings import Settings
from edge_service.telemetry.log_writer import log_output

if TYPE_CHECKING:
    from edge_service.telemetry.metrics import Metrics

__all__ = [
    "AccessLog",
    "Faults",
    "announce",
    "configure_logging",
    "describe",
    "tell_lookalikes",
    "tell_reload",
]

MAX_LOGGED_PATH = 200
ACCESS = "request"
# What remains when no answer is ever begun: the visitor has gone (nginx's number for it).
GONE = 499
_ACCESS_FIELDS = {"event", "method", "path", "status", "duration_ms", "request_id"}
_encode = json.JSONEncoder(default=repr).encode
_escaped = json.encoder.encode_basestring_ascii
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def configure_logging(level: str, log_format: str) -> None:
    """Write the process' log lines to standard output.

    Args:
        level: `debug`, `info`, `warning`, `error` or `critical`.
        log_format: `json`, or `console` for people.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    output = cast("TextIO", log_output())
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout is not None and sys.stdout.isatty())
    )
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        _timestamp,
        _without_messages_of_exceptions,
    ]
    structlog.configure(
        processors=[_json_line] if log_format == "json" else [*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=output),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    # uvicorn's own access log writes whole addresses, refresh tokens included.
    logging.getLogger("uvicorn.access").disabled = True
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


class AccessLog:
    """One line a request: method, path without query, status, duration and request id.

    The request id comes from `X-Request-ID` when that is harmless, and goes out in it.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._log = structlog.get_logger("access")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Time the request and write its line."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = _request_id(scope)
        state = scope.setdefault("state", {})
        state.update(request_id=request_id, status=None)
        header = (b"x-request-id", request_id.encode("ascii"))

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                state["status"] = message["status"]
                message["headers"] = [*message["headers"], header]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - began
            status = state["status"] or GONE
            code = state.get("code")
            self._metrics.request(state.get("route", "other"), status, code or "", seconds)
            self._log.info(
                ACCESS,
                method=scope["method"],
                path=_path(scope),
                status=status,
                duration_ms=round(seconds * 1000, 1),
                request_id=request_id,
                **({"code": code} if code else {}),
            )


class Faults:
    """Turns what a route raises into its answer, and what nobody foresaw into a plain 500.

    It stands within `AccessLog`, which sees whether an answer was begun.

    Starlette's own handler for that stands outside every middleware, so its answer would go
    without CORS headers, and it re-raises into the server's log, message included.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = structlog.get_logger("service")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in place of an exception."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the visitor gets an answer
            answer = error if isinstance(error, ServiceError) else ServiceError()
            state = scope["state"]
            state["code"] = answer.code
            if answer.log_level is not None:
                self._tell(answer, error, state)
            if state["status"] is None:
                await answer.answer()(scope, receive, send)

    def _tell(self, answer: ServiceError, error: Exception, state: dict[str, Any]) -> None:
        """A line of its own, for what an operator may have to mend."""
        avatar = state.get("avatar")
        self._log.log(
            logging.getLevelNamesMapping()[answer.log_level or "ERROR"],
            answer.code,
            request_id=state["request_id"],
            **({"avatar": avatar.name} if avatar is not None else {}),
            **(answer.log_fields() if answer is error else describe(error)),
        )


def describe(error: BaseException) -> dict[str, Any]:
    """The class of an exception and where it was raised; its text may hold a secret."""
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    return {
        "exception": type(error).__name__,
        "raised_at": [
            f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames
        ],
    }


def _json_line(logger: object, level: str, event: EventDict) -> str:
    """All that the other processors do, in one step: a line is written for each request."""
    if event.keys() == _ACCESS_FIELDS:
        now = _timestamp(logger, level, event)["timestamp"]
        # Method and path alone come from strangers and need escaping.
        return (
            f'{{"timestamp": "{now}", "level": "{level}", "event": "{ACCESS}", '
            f'"method": {_escaped(event["method"])}, "path": {_escaped(event["path"])}, '
            f'"status": {event["status"]}, "duration_ms": {event["duration_ms"]}, '
            f'"request_id": "{event["request_id"]}"}}'
        )
    safe = _without_messages_of_exceptions(logger, level, event)
    return _encode({**_timestamp(logger, level, {}), "level": level, **safe})


def _timestamp(_: object, __: str, event: EventDict) -> EventDict:
    event["timestamp"] = f"{datetime.now(UTC).isoformat()[:-6]}Z"
    return event


def _without_messages_of_exceptions(_: object, __: str, event: EventDict) -> EventDict:
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    return {**event, **describe(error)} if isinstance(error, BaseException) else event


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return f"{random.getrandbits(128):032x}"


def _path(scope: Scope) -> str:
    # The raw path is still percent-encoded: no line break can forge a second line.
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8")
    return raw.split(b"?")[0].decode("latin-1")[:MAX_LOGGED_PATH]


def tell_reload(problems: Sequence[str]) -> None:
    """Log that avatars were read again, or why those from before stay."""
    log = structlog.get_logger("service")
    if problems:
        log.error("avatars_not_reloaded", problems=list(problems))
    else:
        log.warning("avatars_reloaded")


def tell_lookalikes(meant: Mapping[str, str]) -> None:
    """Log names of variables that look like one of ours, and which."""
    log = structlog.get_logger("service")
    for name, variable in meant.items():
        log.warning("unknown_variable", variable=name, did_you_mean=variable)


def announce(settings: Settings, port: int) -> None:
    """Log that the service listens, and with which rules."""
    listening = structlog.get_logger("service").bind(host=settings.host, port=port)
    for name, avatar in settings.avatars.items():
        listening.info(
            "listening",
            avatar=name,
            policy=avatar.policy,
            allowed_origins="*" if avatar.allow_any_origin else sorted(avatar.allowed_origins),
            upstream=avatar.login_url,
        )
