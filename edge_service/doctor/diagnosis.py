"""Turns the results of exchanges with other servers into verdicts: what is wrong, how to fix it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sized
from dataclasses import dataclass, field

from edge_service.doctor.response_head import ResponseHead
from edge_service.errors import (
    UpstreamError,
    UpstreamMalformed,
    UpstreamRejected,
    UpstreamTooSlow,
)
from edge_service.upstream.grant import (
    DEFAULT_LIFE_SECONDS,
    Grant,
    claimed_time,
    claims_of,
    stated_life,
)

__all__ = [
    *("Peer", "Verdict"),
    *("count", "judge_clock", "judge_grant", "judge_login", "judge_network"),
]

MAX_CLOCK_ERROR_SECONDS = 30
MIN_TOKEN_LIFE_SECONDS = 5
_DAY = 86_400
_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_TRUST = (
    "if you know the issuer, such as your company's proxy, save the issuer's certificate to a file "
    "and set SSL_CERT_FILE to it; otherwise do not trust it: somebody may intercept the connection"
)
_UNKNOWN = "is from an issuer that this machine does not trust"
# OpenSSL's numbers (x509_vfy.h), each with the code of the verdict, the problem and its fix.
_TLS = {
    "9": ("certificate-early", "is not valid yet", "check this machine's clock"),
    "10": ("certificate-expired", "has expired", "its owner must renew it"),
    "18": ("certificate-self-signed", "is self-signed", _TRUST),
    "19": ("certificate-self-signed", _UNKNOWN, _TRUST),
    **dict.fromkeys(("20", "21"), ("certificate-unknown", _UNKNOWN, _TRUST)),
    "62": ("certificate-name", "is for another name", ""),
    "64": ("certificate-name", "is for another address", ""),
}
_NO_TLS = {
    *("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"),
}
_BROKEN = {
    *("ConnectionResetError", "ServerDisconnectedError", "BrokenPipeError"),
    # The body is incomplete.
    *("ClientPayloadError", "ContentLengthError", "TransferEncodingError"),
    *("ConnectionError", "SSLEOFError", "SSLZeroReturnError", "ConnectionAbortedError"),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one check.

    Attributes:
        where: what was checked, such as the path of an avatar.
        code: stable identifier of the result.
        what: what was found; never contains a key, a token, or text from the other server.
        fix: how to fix it; empty if there is no problem.
    """

    where: str
    code: str
    what: str
    fix: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.fix


@dataclass(frozen=True, slots=True)
class Peer:
    """Another server.

    Attributes:
        where: `Verdict.where` for this server.
        name: its name in messages.
        variable: the variable that contains its URL.
        environ: environment variables, which may configure a proxy; only names are printed.
        tls: what its URL does if it uses TLS.
    """

    where: str
    name: str
    variable: str
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: str = "begins with https://"


def count(things: Sized, name: str) -> str:
    """A number with its noun, such as `2 problems`."""
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def judge_grant(where: str, grant: Grant) -> Verdict:
    """The verdict of a successful login: whether its tokens are usable."""
    now = time.time()
    claims = claims_of(grant.access_token)
    expires, issued = claimed_time(claims, "exp"), claimed_time(claims, "iat")
    if expires is not None and expires <= now:
        return Verdict(
            where,
            "token-expired",
            "its new token has already expired, according to this machine's clock",
            "set this machine's clock; if it is right, ask Sentifyd",
        )
    if issued is not None and issued > now + MAX_CLOCK_ERROR_SECONDS:
        return Verdict(
            where,
            "token-early",
            "its new token is from the future, according to this machine's clock",
            "set this machine's clock; if it is right, ask Sentifyd",
        )
    life = stated_life(grant)
    if life is not None and life < MIN_TOKEN_LIFE_SECONDS:
        return Verdict(
            where,
            "token-short",
            f"its new token expires after only {life:.0f} s",
            "visitors cannot connect in that time: ask Sentifyd for a longer lifetime",
        )
    lifetime = (
        f"of unknown lifetime ({DEFAULT_LIFE_SECONDS:.0f} s is assumed)"
        if life is None
        else f"that expires after {life:.0f} s"
    )
    return Verdict(
        where,
        "ok",
        f"Sentifyd sent a token {lifetime}, a refresh token and "
        f"{count(grant.avatar_parameters, 'avatar parameter')}",
    )


def judge_clock(ahead: float) -> Verdict:
    """The verdict of this machine's clock; `ahead` is its seconds ahead of Sentifyd's clock."""
    if abs(ahead) <= MAX_CLOCK_ERROR_SECONDS:
        return Verdict("clock", "ok", "it agrees with Sentifyd's")
    side = "ahead of" if ahead > 0 else "behind"
    return Verdict(
        "clock",
        "clock-wrong",
        f"it is {_seconds(abs(ahead))} {side} Sentifyd's",
        "set this machine's clock, and synchronize it with NTP",
    )


def judge_login(peer: Peer, error: UpstreamError, head: ResponseHead | None) -> Verdict:
    """The verdict of a failed login; `head` is `None` if there was no response."""
    if isinstance(error, UpstreamRejected):
        return _rejected(peer, error, head)
    if isinstance(error, UpstreamMalformed):
        return _malformed(peer, error, head)
    return judge_network(peer, error)


def judge_network(peer: Peer, error: UpstreamError) -> Verdict:
    """The verdict of an exchange without a usable response."""
    code, what, fix = _network(peer, error)
    proxies = [name for name in _PROXIES if peer.environ.get(name)]
    if proxies:
        fix += (
            f"; {proxies[0]} is set, but the service ignores it: allow a direct connection to the "
            "host"
        )
    return Verdict(peer.where, code, what, fix)


def _network(peer: Peer, error: UpstreamError) -> tuple[str, str, str]:
    cause, detail = error.cause or "", error.detail or ""
    if isinstance(error, UpstreamMalformed):
        return (
            "malformed",
            f"{peer.name} gave no usable answer ({detail})",
            f"check {peer.variable}",
        )
    if isinstance(error, UpstreamTooSlow):
        return (
            "timeout",
            f"{peer.name} did not answer in time",
            f"check {peer.variable}, and that no firewall blocks the connection; if the host is "
            "only slow, raise UPSTREAM_TIMEOUT",
        )
    if detail in _TLS:
        code, what, fix = _TLS[detail]
        fix = fix or f"check the host in {peer.variable}"
        return code, f"the certificate of {peer.name} {what}", fix
    if detail in _NO_TLS:
        return (
            "no-tls",
            f"{peer.name} does not use TLS on this port",
            f"check host and port in {peer.variable}",
        )
    if cause == "gaierror":
        return (
            "name-unknown",
            f"the host in {peer.variable} was not found",
            f"check {peer.variable} for a typo, and this machine's DNS",
        )
    if cause == "ConnectionRefusedError":
        return (
            "refused",
            f"the host in {peer.variable} refused the connection",
            f"check host and port in {peer.variable}, and that the server is running",
        )
    if cause in _BROKEN:
        return (
            "broken-off",
            f"{peer.name} closed the connection",
            f"check host and port in {peer.variable}, that it {peer.tls} if the port "
            "uses TLS, and any firewall or proxy in between",
        )
    if "SSL" in cause:
        return (
            "tls",
            f"the TLS connection to {peer.name} failed ({detail})",
            f"check {peer.variable}, and any firewall or proxy in between",
        )
    return (
        "unreachable",
        f"the host in {peer.variable} cannot be reached ({cause or 'no reason given'})",
        "check this machine's network, and that no firewall blocks the connection",
    )


_PATHS = (
    "set SENTIFYD_BACKEND and SENTIFYD_LOGIN_PATH to those of your API: the documented path is "
    "/api/login, the hosted v1 API uses /api/v1/chatbot/login"
)
# Sentifyd's statuses for a login body in another format.
_WRONG_BODY = (400, 415, 422)


def _rejected(peer: Peer, error: UpstreamRejected, head: ResponseHead | None) -> Verdict:
    status = f"{error.status}" + (", with a web page" if head is not None and head.is_page else "")
    later = f" and asks to wait {_seconds(error.retry_after)}" if error.retry_after else ""
    if error.status in (401, 403, 407) and head is not None and head.is_page:
        code, what = "web-page", f"a web page refused the login ({error.status})"
        fix = (
            f"check for a firewall or proxy in front of {peer.name}, and the host in "
            f"{peer.variable}"
        )
    elif error.status in (401, 403):
        code, what = "key-refused", f"{peer.name} refused the key ({status})"
        fix = (
            "copy the avatar's API key from the Sentifyd dashboard again, and check that AVATAR_ID "
            "and SENTIFYD_BACKEND belong to the same avatar"
        )
    elif error.status in (404, 405, 410):
        code, what = "wrong-path", f"{peer.name} has no login call at this path ({status})"
        fix = _PATHS
    elif error.status == 429:
        code, what = "too-many", f"{peer.name} limits the number of logins ({status}){later}"
        fix = "wait; TOKEN_POLICY=pool or shared needs fewer logins"
    elif error.status >= 500:
        code, what = "upstream-failing", f"{peer.name} has an internal error ({status}){later}"
        fix = "try again later; if it persists, ask Sentifyd"
    else:
        code, what = "login-refused", f"{peer.name} did not accept the login ({status})"
        fix = f"check for a firewall or proxy in front of {peer.name}; if it persists, ask Sentifyd"
        if error.status in _WRONG_BODY:
            fix = f"{_PATHS} and needs AVATAR_ID"
    return Verdict(peer.where, code, what, fix)


def _malformed(peer: Peer, error: UpstreamMalformed, head: ResponseHead | None) -> Verdict:
    detail = error.detail or ""
    if head is not None and head.is_redirect and head.is_same_origin:
        return Verdict(
            peer.where,
            "redirect",
            f"{peer.name} redirects the login to another path of the same host ({head.status})",
            "check SENTIFYD_LOGIN_PATH, including the final slash",
        )
    if head is not None and head.is_redirect:
        to = f"to {head.target}" if head.target else "elsewhere"
        return Verdict(
            peer.where,
            "redirect",
            f"{peer.name} redirects the login {to} ({head.status}), but the key is not sent there",
            f"if that host is right, set {peer.variable} to it; otherwise {_PATHS}",
        )
    fix = _PATHS
    if head is None:
        fix = f"check host and port in {peer.variable}, and that it {peer.tls} if the port uses TLS"
    if head is not None and head.is_page:
        what, code = "sent a web page instead of JSON", "web-page"
    elif "too large" in detail:
        what, code = "sent more than a login response can have", "oversized"
    else:
        what, code = f"gave no usable answer ({detail})", "malformed"
    return Verdict(peer.where, code, f"{peer.name} {what}", fix)


def _seconds(number: float) -> str:
    # Never a long number: the other server could have put the key there.
    return f"{number:.0f} s" if number <= _DAY else "more than a day"
