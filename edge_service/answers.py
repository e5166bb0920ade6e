"""Every error that the service answers: one class an answer, in one small tree."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

__all__ = ["JSON", "ServiceError", "json_response"]

JSON = dict[str, Any]


class ServiceError(Exception):
    """An answer other than 200, with a text for people and a code for programs.

    Attributes:
        status: HTTP status.
        code: stable identifier; clients may depend on it.
        error: what went wrong, fit for a visitor's browser.
    """

    status: int = 500
    code: str = "internal_error"
    error: str = "Internal server error"

    def __init__(self, error: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error or self.error)
        self.headers = headers

    def body(self) -> JSON:
        """The members of the JSON body."""
        return {"error": str(self), "code": self.code}

    def answer(self) -> Response:
        """The HTTP response for this error."""
        return json_response(self.body(), status=self.status, headers=self.headers)


class BadRequest(ServiceError):
    """The request cannot be understood."""

    status = 400
    code = "bad_request"
    error = "Bad request"


class OriginNotAllowed(ServiceError):
    """The page that asks is not one that may use this avatar."""

    status = 403
    code = "origin_not_allowed"
    error = "This origin may not request tokens"


class NotFound(ServiceError):
    """There is no such route."""

    status = 404
    code = "not_found"
    error = "Not found"


class MethodNotAllowed(ServiceError):
    """The route exists, but not for this method."""

    status = 405
    code = "method_not_allowed"
    error = "Method not allowed"


class RequestTimeout(ServiceError):
    """The body did not arrive in time."""

    status = 408
    code = "request_timeout"
    error = "The request body took too long"


class ContentTooLarge(ServiceError):
    """The body is larger than any honest one."""

    status = 413
    code = "content_too_large"
    error = "The request body is too large"


class UnsupportedMediaType(ServiceError):
    """The body is neither JSON nor a form."""

    status = 415
    code = "unsupported_media_type"
    error = "Send JSON or a URL-encoded form"


def json_response(
    content: JSON, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON response in pure ASCII, so that lone surrogates from upstream cannot break it."""
    body = json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")
    return Response(body, status, headers, media_type="application/json")
