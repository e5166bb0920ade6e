"""Error responses of the service: one class for each, with status, code and message."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from starlette.responses import Response

from edge_service.strict_json import JSON

__all__ = [
    "BadRequest",
    "BudgetSpent",
    "BudgetUnavailable",
    "CircuitOpen",
    "ClientError",
    "ContentTooLarge",
    "HandleMalformed",
    "HandleRefused",
    "HeadersTooLarge",
    "IdentityUnavailable",
    "MethodNotAllowed",
    "NotFound",
    "OriginNotAllowed",
    "RateLimited",
    "RequestTimeout",
    "ServiceError",
    "Unauthenticated",
    "UnsupportedMediaType",
    "UpgradeWithBody",
    "UpstreamBusy",
    "UpstreamError",
    "UpstreamMalformed",
    "UpstreamPaused",
    "UpstreamRejected",
    "UpstreamTooSlow",
    "UpstreamUnreachable",
    "json_response",
]


class ServiceError(Exception):
    """An error response, with a message for people and a code for programs.

    Attributes:
        status: HTTP status.
        code: stable identifier; clients may depend on it.
        error: what went wrong; visitors can read it.
        fix: how to fix it, for the table in the documentation.
        log_level: level of its log line; `None` if the access log is enough.
    """

    status: int = 500
    code: str = "internal_error"
    error: str = "Internal server error"
    fix: str = (
        "Report it with the log line that has the same request_id: it names the place in the code."
    )
    log_level: str | None = "ERROR"

    def __init__(self, error: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error or self.error)
        self.headers = headers

    @property
    def retry_after(self) -> float:
        """Seconds to wait according to `Retry-After`; 0 without that header."""
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
        """Fields to log with the code; they never contain data of the request or the response."""
        return {}

    def answer(self) -> Response:
        """The HTTP response for this error."""
        return json_response(self.body(), status=self.status, headers=self.headers)


class ClientError(ServiceError):
    """The request itself is wrong."""

    log_level = None


class BadRequest(ClientError):
    """The request cannot be understood."""

    status = 400
    code = "bad_request"
    error = "Bad request"
    fix = "Correct the request: the message says what is wrong with it."


class UpgradeWithBody(BadRequest):
    """A request with a body offers a protocol upgrade."""

    error = (
        "A request with a body must not offer an upgrade: remove the Upgrade header and the token "
        "upgrade from Connection; a proxy should add them for WebSocket locations only"
    )
    fix = "Configure the proxy in front to add Upgrade and Connection for WebSocket locations only."


class OriginNotAllowed(ClientError):
    """Pages of this origin may not use this avatar."""

    status = 403
    code = "origin_not_allowed"
    error = "This origin may not request tokens"
    fix = (
        "Add the page's origin, exactly as browsers send it, or a pattern for previews, to "
        "ALLOWED_ORIGINS."
    )


class NotFound(ClientError):
    """There is no such route."""

    status = 404
    code = "not_found"
    error = "Not found"
    fix = "Correct the path in token_endpoint, or the avatar's id in AVATARS_FILE."


class MethodNotAllowed(ClientError):
    """The route exists, but not for this method."""

    status = 405
    code = "method_not_allowed"
    error = "Method not allowed"
    fix = "Use GET or POST."


class RequestTimeout(ClientError):
    """The body did not arrive in time."""

    status = 408
    code = "request_timeout"
    error = "The request body took too long"
    fix = "Send the whole body that Content-Length announces within 5 seconds."


class ContentTooLarge(ClientError):
    """The body is larger than any valid one."""

    status = 413
    code = "content_too_large"
    error = "The request body is too large"
    fix = "Send at most 4 KiB."


class UnsupportedMediaType(ClientError):
    """The body is neither JSON nor a form."""

    status = 415
    code = "unsupported_media_type"
    error = "Send JSON or a URL-encoded form"
    fix = "Send Content-Type: application/json, or a URL-encoded form."


class HeadersTooLarge(ClientError):
    """The request head is larger than any valid one."""

    status = 431
    code = "headers_too_large"
    error = "The request's headers are too large"
    fix = "Send at most 32 KiB of headers; cookies of the site's origin are the usual cause."


class RateLimited(ClientError):
    """The visitor has sent too many requests."""

    status = 429
    code = "rate_limited"
    error = "Too many requests"
    fix = (
        "Wait for Retry-After; set TRUSTED_PROXIES if all visitors are refused at once, or raise "
        "RATE_LIMIT if many of them share one address."
    )


class HandleMalformed(ClientError):
    """The refresh handle does not have the form of one that this service creates."""

    status = 400
    code = "malformed_handle"
    error = "The refresh token is malformed"
    fix = "Open a new tab: the token was issued before SEAL_KEYS was set."


class HandleRefused(ClientError):
    """The refresh handle is forged, expired, or for another avatar, page or visitor."""

    status = 401
    code = "handle_refused"
    error = "The refresh token is not valid any more"
    fix = "Open a new tab, and keep a replaced key in SEAL_KEYS for a day."

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


class Unauthenticated(ClientError):
    """The request does not prove who sent it.

    Args:
        rejected: credentials were sent, but are invalid. The response does not give the reason,
            which would help an attacker.
    """

    status = 401
    code = "unauthenticated"
    error = "Sign in to talk to the avatar"
    fix = (
        "Sign in; if that does not help, compare JWT_COOKIE, JWT_ISSUER and JWT_AUDIENCE with a "
        "visitor's token, and check the clock."
    )

    def __init__(self, *, rejected: bool = False) -> None:
        challenge = 'Bearer realm="request_tokens"'
        if rejected:
            challenge += ', error="invalid_token"'
        super().__init__(headers={"WWW-Authenticate": challenge})


class IdentityUnavailable(ServiceError):
    """Visitors cannot be identified, because no key set is loaded yet."""

    status = 503
    code = "identity_unavailable"
    error = "Visitors cannot be identified at the moment"
    fix = "Check JWT_JWKS_URL from the machine of the service; the log has key_set_unavailable."
    # The key set has already logged it.
    log_level = None

    def __init__(self) -> None:
        seconds = random.randint(1, 5)  # noqa: S311 - so that not all clients retry at once
        super().__init__(headers={"Retry-After": str(seconds)})


class UpstreamError(ServiceError):
    """Another server, usually Sentifyd, gave no usable answer.

    Attributes:
        cause: class name of the original exception, such as `gaierror`. Its message is not kept,
            because it may contain the key.
        detail: more about the cause, such as OpenSSL's error number; never text from the server.
    """

    cause: str | None = None
    detail: str | None = None

    def log_fields(self) -> dict[str, object]:
        """The cause, if there is one."""
        return {} if self.cause is None else {"cause": self.cause}


class UpstreamRejected(UpstreamError):
    """Sentifyd answered the login with an error, which is passed on.

    Args:
        status: Sentifyd's HTTP status, 400 to 599.
        details: Sentifyd's JSON body, or `None`.
        retry_after: Sentifyd's `Retry-After` header, or `None`.
    """

    code = "upstream_rejected"
    error = "Authentication failed"
    fix = (
        "Run sentifyd-edge doctor: usually the API key is wrong, or SENTIFYD_BACKEND and "
        "SENTIFYD_LOGIN_PATH are not those of its API."
    )

    def __init__(self, status: int, details: object, retry_after: str | None) -> None:
        super().__init__(headers={"Retry-After": retry_after} if retry_after else None)
        self.status = status
        self.details = details
        # Usually the key is wrong, which only an operator can fix.
        self.log_level = "ERROR" if status >= 500 else "WARNING"

    def log_fields(self) -> dict[str, object]:
        """Sentifyd's status."""
        return {"status": self.status}

    def body(self) -> JSON:
        """The documented error body; `details` is missing when Sentifyd sent no usable JSON."""
        body = super().body()
        return body if self.details is None else {**body, "details": self.details}


class UpstreamMalformed(UpstreamError):
    """Sentifyd's response is not a grant: a redirect, malformed or too large.

    Args:
        detail: what is wrong with it; never quotes it.
    """

    status = 502
    code = "upstream_malformed"
    error = "Sentifyd gave an unusable answer"
    fix = "Correct SENTIFYD_BACKEND and SENTIFYD_LOGIN_PATH: what answers is not the login API."

    def __init__(self, detail: str | None = None) -> None:
        super().__init__()
        self.detail = detail


class UpstreamUnreachable(UpstreamError):
    """The connection to Sentifyd failed."""

    status = 502
    code = "upstream_unreachable"
    error = "Sentifyd cannot be reached"
    fix = (
        "Check DNS, firewall and certificates between the service and Sentifyd; the log "
        "names the cause."
    )


class UpstreamTooSlow(UpstreamError):
    """The exchange took longer than `UPSTREAM_TIMEOUT`."""

    status = 504
    code = "upstream_timeout"
    error = "Sentifyd took too long to answer"
    fix = "Raise UPSTREAM_TIMEOUT, or choose TOKEN_POLICY=pool or shared."


class UpstreamBusy(UpstreamError):
    """The service is saturated: no login slot became free in time."""

    status = 503
    code = "upstream_busy"
    error = "Too many logins are under way"
    fix = "Raise UPSTREAM_CONCURRENCY, or choose TOKEN_POLICY=pool or shared."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class UpstreamPaused(UpstreamError):
    """Sentifyd has refused a login and asked to wait, so no logins are sent until then.

    Args:
        seconds: time until the next attempt.
    """

    status = 503
    code = "upstream_paused"
    error = "Sentifyd accepts no logins at the moment"
    fix = (
        "Wait for Retry-After; if it happens often, choose TOKEN_POLICY=shared, or ask Sentifyd to "
        "allow more logins."
    )
    # The pause has already been logged, and waiting visitors must not fill the disk.
    log_level = None

    def __init__(self, seconds: float) -> None:
        super().__init__(headers={"Retry-After": str(max(1, math.ceil(seconds)))})


class CircuitOpen(UpstreamError):
    """Sentifyd has failed repeatedly, so no logins are sent for some seconds.

    Args:
        seconds: time until the next attempt.
    """

    status = 503
    code = "circuit_open"
    error = "Sentifyd does not answer at the moment"
    fix = "Wait: Sentifyd is tried again every few seconds, and the log says why it failed before."
    # The circuit breaker has already logged it, and an outage must not fill the disk.
    log_level = None

    def __init__(self, seconds: float) -> None:
        super().__init__(headers={"Retry-After": str(max(1, math.ceil(seconds)))})


class BudgetSpent(UpstreamError):
    """The avatar has made all logins that `LOGIN_BUDGET` allows.

    Args:
        seconds: time until a new window of the budget begins.
    """

    status = 503
    code = "budget_spent"
    error = "No more logins are allowed at the moment"
    fix = (
        "Wait for Retry-After; if visitors alone spend the budget, raise LOGIN_BUDGET, or choose "
        "TOKEN_POLICY=shared."
    )
    # The budget has already been logged, and waiting visitors must not fill the disk.
    log_level = None

    def __init__(self, seconds: float) -> None:
        super().__init__(headers={"Retry-After": str(max(1, math.ceil(seconds)))})


class BudgetUnavailable(UpstreamError):
    """Redis counts the logins of all replicas, and is unavailable."""

    status = 503
    code = "budget_unavailable"
    error = "Logins cannot be counted at the moment"
    fix = "Check REDIS_URL from the machine of the service; the log has redis_unavailable."
    # Redis has already been logged.
    log_level = None

    def __init__(self) -> None:
        seconds = random.randint(1, 5)  # noqa: S311 - so that not all clients retry at once
        super().__init__(headers={"Retry-After": str(seconds)})


def json_response(
    content: JSON, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON response in ASCII, so that lone surrogates from Sentifyd cannot break it."""
    body = json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")
    return Response(body, status, headers, media_type="application/json")
