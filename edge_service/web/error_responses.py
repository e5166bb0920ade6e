"""Turns exceptions into JSON error responses."""

from __future__ import annotations

import logging
from typing import Any

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from edge_service.errors import ServiceError
from edge_service.telemetry.logs import describe

__all__ = ["ErrorResponses"]


class ErrorResponses:
    """Answers a `ServiceError` with its response, and any other exception with status 500.

    `AccessLog` must wrap it, because it records whether the response has started.

    Starlette's own error handler is outside all middleware: its response would have no CORS
    headers, and the server would log the exception's message, which may contain a secret.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = structlog.get_logger("service")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, and answer if it raises."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - the visitor gets an answer after any error
            answer = error if isinstance(error, ServiceError) else ServiceError()
            state = scope["state"]
            state["code"] = answer.code
            if answer.log_level is not None:
                self._log_error(answer, error, state)
            if state["status"] is None:
                await answer.answer()(scope, receive, send)

    def _log_error(self, answer: ServiceError, error: Exception, state: dict[str, Any]) -> None:
        """Log what an operator may have to fix."""
        avatar = state.get("avatar")
        self._log.log(
            logging.getLevelNamesMapping()[answer.log_level or "ERROR"],
            answer.code,
            request_id=state["request_id"],
            **({"avatar": avatar.name} if avatar is not None else {}),
            **(answer.log_fields() if answer is error else describe(error)),
        )
