"""Structured log lines on standard output; they never contain a secret."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor

from edge_service.settings import Settings
from edge_service.telemetry.log_writer import LogOutput, log_output
from edge_service.telemetry.version import installed_version

__all__ = [
    "CLIENT_CLOSED_REQUEST",
    "change_logging",
    "configure_logging",
    "describe",
    "log_access",
    "log_env_file",
    "log_listening",
    "log_near_misses",
    "log_reload",
]

ACCESS = "request"
# The client closed the connection before the response; nginx uses the same status.
CLIENT_CLOSED_REQUEST = 499
_encode = json.JSONEncoder(default=repr).encode
_escaped = json.encoder.encode_basestring_ascii
# Where `log_access` writes JSON lines; `None` until `configure_logging` has chosen them.
_access_output: LogOutput | None = None
# Where all lines go, once `configure_logging` has been called.
_output: LogOutput | None = None


def configure_logging(level: str, log_format: str) -> None:
    """Configure logging to standard output for the whole process.

    Args:
        level: `debug`, `info`, `warning`, `error` or `critical`.
        log_format: `json`, or `console` for people.
    """
    global _output
    _output = log_output()
    change_logging(level, log_format)


def change_logging(level: str, log_format: str) -> None:
    """Change level and format; the arguments are those of `configure_logging`.

    The lines continue on the same output, so that none is lost or torn.
    """
    global _access_output
    number = logging.getLevelNamesMapping()[level.upper()]
    lines = _output or log_output()
    _access_output = lines if log_format == "json" and number <= logging.INFO else None
    output = cast("TextIO", lines)
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
        # A cached logger would keep the level and the format of its first line.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    # uvicorn's access log contains whole URLs, refresh tokens included.
    logging.getLogger("uvicorn.access").disabled = True
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def log_access(
    *, method: str, path: str, status: int, duration_ms: float, request_id: str, code: str | None
) -> None:
    """Log a request; `code` is the error code, if it has one."""
    if _access_output is None:
        structlog.get_logger("access").info(
            ACCESS,
            method=method,
            path=path,
            status=status,
            duration_ms=duration_ms,
            request_id=request_id,
            **({"code": code} if code else {}),
        )
        return
    # structlog takes three times as long, and this is the only line that every request writes. Only
    # method and path come from the client and need escaping.
    tail = f', "code": "{code}"}}\n' if code else "}\n"
    _access_output.write(
        f'{{"timestamp": "{_now()}", "level": "info", "event": "{ACCESS}", '
        f'"method": {_escaped(method)}, "path": {_escaped(path)}, "status": {status}, '
        f'"duration_ms": {duration_ms}, "request_id": "{request_id}"{tail}'
    )
    _access_output.flush()


def describe(error: BaseException) -> dict[str, Any]:
    """The class of an exception and where it was raised; its message may contain a secret."""
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    return {
        "exception": type(error).__name__,
        "raised_at": [
            f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames
        ],
    }


def _json_line(logger: object, level: str, event: EventDict) -> str:
    """The work of the other processors in one step."""
    safe = _without_messages_of_exceptions(logger, level, event)
    return _encode({**_timestamp(logger, level, {}), "level": level, **safe})


def _timestamp(_: object, __: str, event: EventDict) -> EventDict:
    event["timestamp"] = _now()
    return event


def _now() -> str:
    second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{_up_to_second(second)}.{nanoseconds // 1000:06d}Z"


@lru_cache(1)
def _up_to_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[: -len("+00:00")]


def _without_messages_of_exceptions(_: object, __: str, event: EventDict) -> EventDict:
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    return {**event, **describe(error)} if isinstance(error, BaseException) else event


def log_reload(problems: Sequence[str], changed: Sequence[str]) -> None:
    """Log the names of the settings that changed, or why the previous ones stay."""
    log = structlog.get_logger("service")
    if problems:
        log.error("settings_not_reloaded", problems=list(problems))
    else:
        log.warning("settings_reloaded", changed=list(changed))


def log_env_file(path: Path | None, shadowed: Sequence[str], *, is_exposed: bool) -> None:
    """Log what is dangerous, or without effect, in the file of `--env-file`."""
    log = structlog.get_logger("service")
    if is_exposed:
        log.warning("env_file_exposed", path=str(path), fix="chmod 600")
    for name in shadowed:
        log.warning("variable_shadowed", variable=name)


def log_near_misses(meant: Mapping[str, str]) -> None:
    """Log unknown variables whose names resemble one of ours."""
    log = structlog.get_logger("service")
    for name, variable in meant.items():
        log.warning("unknown_variable", variable=name, did_you_mean=variable)


def log_listening(settings: Settings, port: int) -> None:
    """Log that the service listens, its version, and the rules of each avatar."""
    listening = structlog.get_logger("service").bind(
        version=installed_version(), host=settings.host, port=port
    )
    for name, avatar in settings.avatars.items():
        listening.info(
            "listening",
            avatar=name,
            policy=avatar.policy,
            allowed_origins="*" if avatar.allow_any_origin else sorted(avatar.allowed_origins),
            upstream=avatar.login_url,
        )
