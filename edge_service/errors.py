"""The tree of errors that are answers, one class each, and those of them that no module owns."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from starlette.responses import Response

__all__ = [
    "JSON",
    "BadRequest",
    "CircuitOpen",
    "ClientError",
    "ContentTooLarge",
    "HeadersTooLarge",
    "MethodNotAllowed",
    "NotFound",
    "OriginNotAllowed",
    "RequestTimeout",
    "ServiceError",
    "UnsupportedMediaType",
    "UpstreamBusy",
    "UpstreamError",
    "UpstreamMalformed",
    "UpstreamRejected",
    "UpstreamTooSlow",
    "UpstreamUnreachable",
    "json_response",
]

JSON = dict[str, Any]


class ServiceError(Exception):
    """An answer other than 200, with a text for people and a code for programs.

    Attributes:
        status: HTTP status.
        code: stable identifier; clients may depend on it.
        error: what went wrong, fit for a visitor's browser.
        log_level: of the line that tells an operator; `None` where the access log is enough.
    """

    status: int = 500
    code: str = "internal_error"
    error: str = "Internal server error"
    log_level: str | None = "ERROR"

    def __init__(self, error: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error or self.error)
        self.headers = headers

    @property
    def retry_after(self) -> float:
        """Seconds that its `Retry-After` asks for; 0 without one."""
        text = (self.headers or {}).get("Retry-After", "")
        if text.isdigit():
            return float(text)
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
        except (ValueError, OverflowError):
            return 0.0

    def body(self) -> JSON:
        """The members of the JSON body."""
        return {"error": str(self), "code": self.code}

    def log_fields(self) -> dict[str, object]:
        """What the log may hold beside the code; never anything of the request or its answer."""
        return {}

    def answer(self) -> Response:
        """The HTTP response for this error."""
        return json_response(self.body(), status=self.status, headers=self.headers)


class ClientError(ServiceError):
    """What is answered to a request that is at fault itself."""

    log_level = None


class BadRequest(ClientError):
    """The request cannot be understood."""

    status = 400
    code = "bad_request"
    error = "Bad request"


class OriginNotAllowed(ClientError):
    """The page that asks is not one that may use this avatar."""

    status = 403
    code = "origin_not_allowed"
    error = "This origin may not request tokens"


class NotFound(ClientError):
    """There is no such route."""

    status = 404
    code = "not_found"
    error = "Not found"


class MethodNotAllowed(ClientError):
    """The route exists, but not for this method."""

    status = 405
    code = "method_not_allowed"
    error = "Method not allowed"


class RequestTimeout(ClientError):
    """The body did not arrive in time."""

    status = 408
    code = "request_timeout"
    error = "The request body took too long"


class ContentTooLarge(ClientError):
    """The body is larger than any honest one."""

    status = 413
    code = "content_too_large"
    error = "The request body is too large"


class UnsupportedMediaType(ClientError):
    """The body is neither JSON nor a form."""

    status = 415
    code = "unsupported_media_type"
    error = "Send JSON or a URL-encoded form"


class HeadersTooLarge(ClientError):
    """The head of the request is larger than any honest one."""

    status = 431
    code = "headers_too_large"
    error = "The request's headers are too large"


class UpstreamError(ServiceError):
    """Another server, as a rule Sentifyd, gave no usable answer.

    Attributes:
        cause: the class of the exception behind it, such as `gaierror`; its text may hold the key.
        detail: more of it, such as OpenSSL's number of a fault; never what the other server said.
    """

    cause: str | None = None
    detail: str | None = None

    def log_fields(self) -> dict[str, object]:
        """The cause, where there is one."""
        return {} if self.cause is None else {"cause": self.cause}


class UpstreamRejected(UpstreamError):
    """Sentifyd answered the login with an error of its own, which is passed on.

    Args:
        status: its status, 400 to 599.
        details: its JSON, or `None`.
        retry_after: its `Retry-After` header.
    """

    code = "upstream_rejected"
    error = "Authentication failed"

    def __init__(self, status: int, details: object, retry_after: str | None) -> None:
        super().__init__(headers={"Retry-After": retry_after} if retry_after else None)
        self.status = status
        self.details = details
        # As a rule the key is wrong, which no visitor can mend.
        self.log_level = "ERROR" if status >= 500 else "WARNING"

    def log_fields(self) -> dict[str, object]:
        """Sentifyd's own status."""
        return {"status": self.status}

    def body(self) -> JSON:
        """The documented error body; without `details` when upstream gave none worth passing on."""
        body = super().body()
        return body if self.details is None else {**body, "details": self.details}


class UpstreamMalformed(UpstreamError):
    """Sentifyd answered with something that is not a grant: a redirect, garbage, too much.

    Args:
        detail: what is wrong with it, without a word of it.
    """

    status = 502
    code = "upstream_malformed"
    error = "Sentifyd gave an unusable answer"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__()
        self.detail = detail


class UpstreamUnreachable(UpstreamError):
    """No connection to Sentifyd, or it broke."""

    status = 502
    code = "upstream_unreachable"
    error = "Sentifyd cannot be reached"


class UpstreamTooSlow(UpstreamError):
    """The exchange took longer than `UPSTREAM_TIMEOUT`."""

    status = 504
    code = "upstream_timeout"
    error = "Sentifyd took too long to answer"


class UpstreamBusy(UpstreamError):
    """Every login slot stayed taken."""

    status = 503
    code = "upstream_busy"
    error = "Too many logins are under way"

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class CircuitOpen(UpstreamError):
    """Sentifyd has failed repeatedly and is left alone for a while.

    Args:
        seconds: until it is tried again.
    """

    status = 503
    code = "circuit_open"
    error = "Sentifyd does not answer at the moment"
    # The circuit has told already, and an outage must not fill the disk.
    log_level = None

    def __init__(self, seconds: float) -> None:
        super().__init__(headers={"Retry-After": str(max(1, math.ceil(seconds)))})


def json_response(
    content: JSON, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON response in pure ASCII, so that lone surrogates from upstream cannot break it."""
    body = json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")
    return Response(body, status, headers, media_type="application/json")
