"""What a route raises becomes the JSON answer for it."""

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
    """Turns what a route raises into its answer, and any unexpected exception into a plain 500.

    It is wrapped by `AccessLog`, which records whether an answer was begun.

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
                self._log_error(answer, error, state)
            if state["status"] is None:
                await answer.answer()(scope, receive, send)

    def _log_error(self, answer: ServiceError, error: Exception, state: dict[str, Any]) -> None:
        """Write a line of its own for what an operator may have to fix."""
        avatar = state.get("avatar")
        self._log.log(
            logging.getLevelNamesMapping()[answer.log_level or "ERROR"],
            answer.code,
            request_id=state["request_id"],
            **({"avatar": avatar.name} if avatar is not None else {}),
            **(answer.log_fields() if answer is error else describe(error)),
        )
