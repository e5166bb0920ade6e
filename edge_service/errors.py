"""Every error that is an answer of the service: one class each, with status, code and text."""

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
    "UpstreamRejected",
    "UpstreamTooSlow",
    "UpstreamUnreachable",
    "json_response",
]


class ServiceError(Exception):
    """An answer other than 200, with a text for people and a code for programs.

    Attributes:
        status: HTTP status.
        code: stable identifier; clients may depend on it.
        error: what went wrong, fit for a visitor's browser.
        fix: how to fix it, for the table in the documentation.
        log_level: of the line in the log; `None` where the access log is enough.
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
    fix = "Correct the request: the message says what is wrong with it."


class UpgradeWithBody(BadRequest):
    """A request offers to change the protocol, and has a body."""

    error = (
        "A request with a body must not offer an upgrade: remove the Upgrade header and the token "
        "upgrade from Connection; a proxy should add them for WebSocket locations only"
    )
    fix = "Let the proxy in front add Upgrade and Connection for WebSocket locations only."


class OriginNotAllowed(ClientError):
    """The page that asks is not one that may use this avatar."""

    status = 403
    code = "origin_not_allowed"
    error = "This origin may not request tokens"
    fix = "Add the page's origin, exactly as browsers send it, to ALLOWED_ORIGINS."


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
    """The body is larger than any honest one."""

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
    """The head of the request is larger than any honest one."""

    status = 431
    code = "headers_too_large"
    error = "The request's headers are too large"
    fix = "Send at most 32 KiB of headers; cookies of the site's origin are the usual cause."


class RateLimited(ClientError):
    """The visitor has asked too often."""

    status = 429
    code = "rate_limited"
    error = "Too many requests"
    fix = (
        "Wait for Retry-After; set TRUSTED_PROXIES if all visitors are refused at once, or raise "
        "RATE_LIMIT if many of them share one address."
    )


class HandleMalformed(ClientError):
    """The refresh handle is nothing that this service could have made."""

    status = 400
    code = "malformed_handle"
    error = "The refresh token is malformed"
    fix = "Open a new tab: the token was issued before SEAL_KEYS was set."


class HandleRefused(ClientError):
    """The refresh handle is forged or too old, or was made for another avatar, page or visitor."""

    status = 401
    code = "handle_refused"
    error = "The refresh token is not valid any more"
    fix = "Open a new tab, and keep a replaced key in SEAL_KEYS for a day."

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


class Unauthenticated(ClientError):
    """The request does not prove who sent it.

    Args:
        rejected: credentials were sent, but are no good. Which of the many reasons it was would
            help nobody but a forger, so the answer does not say.
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
    """Nobody can be identified, because no key set could be loaded yet."""

    status = 503
    code = "identity_unavailable"
    error = "Visitors cannot be identified at the moment"
    fix = "Check JWT_JWKS_URL from where the service runs; the log says key_set_unavailable."
    # The key set has logged it already.
    log_level = None

    def __init__(self) -> None:
        seconds = random.randint(1, 5)  # noqa: S311 - so that not all come back at once
        super().__init__(headers={"Retry-After": str(seconds)})


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
    fix = (
        "Run sentifyd-edge doctor: usually the API key is wrong, or SENTIFYD_BACKEND and "
        "SENTIFYD_LOGIN_PATH are not those of its API."
    )

    def __init__(self, status: int, details: object, retry_after: str | None) -> None:
        super().__init__(headers={"Retry-After": retry_after} if retry_after else None)
        self.status = status
        self.details = details
        # As a rule the key is wrong, which no visitor can fix.
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
    fix = "Correct SENTIFYD_BACKEND and SENTIFYD_LOGIN_PATH: what answers is not the login API."

    def __init__(self, detail: str | None = None) -> None:
        super().__init__()
        self.detail = detail


class UpstreamUnreachable(UpstreamError):
    """No connection to Sentifyd, or it broke."""

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
    """Every login slot stayed taken."""

    status = 503
    code = "upstream_busy"
    error = "Too many logins are under way"
    fix = "Raise UPSTREAM_CONCURRENCY, or choose TOKEN_POLICY=pool or shared."

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
    fix = "Wait: Sentifyd is tried again every few seconds, and the log says why it failed before."
    # The circuit breaker has logged it already, and an outage must not fill the disk.
    log_level = None

    def __init__(self, seconds: float) -> None:
        super().__init__(headers={"Retry-After": str(max(1, math.ceil(seconds)))})


def json_response(
    content: JSON, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON response in pure ASCII, so that lone surrogates from upstream cannot break it."""
    body = json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")
    return Response(body, status, headers, media_type="application/json")
