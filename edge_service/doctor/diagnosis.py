"""What an exchange with another server tells of the settings, this machine and that server."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sized
from dataclasses import dataclass, field

from edge_service.doctor.response_head import Seen
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

CLOCK_SECONDS = 30
SHORT_SECONDS = 5
_DAY = 86_400
_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_TRUST = (
    "if you know who issued it, such as your company's proxy, put that issuer's certificate into a "
    "file and name it in SSL_CERT_FILE; else somebody stands in between: do not trust it"
)
_UNKNOWN = "comes from an issuer that is not known here"
# OpenSSL's numbers and names (x509_vfy.h, sslerr.h), each with code, fault and cure.
_TLS = {
    "9": ("certificate-early", "is not valid yet", "check this machine's clock"),
    "10": ("certificate-expired", "has expired", "it must be renewed there"),
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
    *("ConnectionResetError", "RemoteDisconnected", "IncompleteRead", "BrokenPipeError"),
    *("ConnectionError", "SSLEOFError", "SSLZeroReturnError", "ConnectionAbortedError"),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one thing that the service needs.

    Attributes:
        where: the thing, such as the path of an avatar.
        code: stable name of the finding.
        what: what was found; never a key, a token, or text of the other server.
        cure: how to mend it; empty when all is well.
    """

    where: str
    code: str
    what: str
    cure: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is nothing to mend."""
        return not self.cure


@dataclass(frozen=True, slots=True)
class Peer:
    """Another server.

    Attributes:
        where: what it is needed for, as a verdict names it.
        name: what people call it.
        variable: where its address stands.
        environ: environment variables, which may name a proxy; their names alone are told.
        tls: what its address begins with where it speaks TLS.
    """

    where: str
    name: str
    variable: str
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: str = "https://"


def count(things: Sized, name: str) -> str:
    """How many there are, in words."""
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def judge_grant(where: str, grant: Grant) -> Verdict:
    """A login that went well."""
    now = time.time()
    claims = claims_of(grant.access_token)
    expires, issued = claimed_time(claims, "exp"), claimed_time(claims, "iat")
    if expires is not None and expires <= now:
        return Verdict(
            where,
            "token-expired",
            "its new token has expired already, by this machine's clock",
            "set this machine's clock; if it is right, ask Sentifyd",
        )
    if issued is not None and issued > now + CLOCK_SECONDS:
        return Verdict(
            where,
            "token-early",
            "its new token is from the future, by this machine's clock",
            "set this machine's clock; if it is right, ask Sentifyd",
        )
    life = stated_life(grant)
    if life is not None and life < SHORT_SECONDS:
        return Verdict(
            where,
            "token-short",
            f"its new token lives {life:.0f} s only",
            "no visitor connects in that time: ask Sentifyd for tokens that live longer",
        )
    lives = (
        f"whose life it does not tell ({DEFAULT_LIFE_SECONDS:.0f} s is supposed)"
        if life is None
        else f"that lives {life:.0f} s"
    )
    return Verdict(
        where,
        "ok",
        f"Sentifyd gives a token {lives}, a refresh token and "
        f"{count(grant.avatar_parameters, 'avatar parameter')}",
    )


def judge_clock(ahead: float) -> Verdict:
    """This machine's clock, which is so many seconds ahead of Sentifyd's."""
    if abs(ahead) <= CLOCK_SECONDS:
        return Verdict("clock", "ok", "it agrees with Sentifyd's")
    side = "ahead of" if ahead > 0 else "behind"
    return Verdict(
        "clock",
        "clock-wrong",
        f"it is {_seconds(abs(ahead))} {side} Sentifyd's",
        "set this machine's clock, and keep it right with NTP",
    )


def judge_login(peer: Peer, error: UpstreamError, seen: Seen | None) -> Verdict:
    """A login that failed."""
    if isinstance(error, UpstreamRejected):
        return _rejected(peer, error, seen)
    if isinstance(error, UpstreamMalformed):
        return _malformed(peer, error, seen)
    return judge_network(peer, error)


def judge_network(peer: Peer, error: UpstreamError) -> Verdict:
    """An exchange that brought no answer."""
    code, what, cure = _network(peer, error)
    proxies = [name for name in _PROXIES if peer.environ.get(name)]
    if proxies:
        cure += (
            f"; {proxies[0]} is set, but the service uses no proxy: let it connect to the host "
            "directly"
        )
    return Verdict(peer.where, code, what, cure)


def _network(peer: Peer, error: UpstreamError) -> tuple[str, str, str]:
    cause, detail = error.cause or "", error.detail or ""
    if isinstance(error, UpstreamMalformed):
        return (
            "malformed",
            f"{peer.name} gives no usable answer ({detail})",
            f"check {peer.variable}",
        )
    if isinstance(error, UpstreamTooSlow):
        return (
            "timeout",
            f"{peer.name} gave no answer in the time allowed",
            f"check {peer.variable}, and that a firewall lets this machine reach the host; if it "
            "is only slow, raise UPSTREAM_TIMEOUT",
        )
    if detail in _TLS:
        code, what, cure = _TLS[detail]
        cure = cure or f"check the host in {peer.variable}"
        return code, f"the certificate of {peer.name} {what}", cure
    if detail in _NO_TLS:
        return (
            "no-tls",
            f"{peer.name} speaks no TLS at this port",
            f"check host and port in {peer.variable}",
        )
    if cause == "gaierror":
        return (
            "name-unknown",
            f"the host in {peer.variable} is not found",
            f"check {peer.variable} for a typo, and this machine's DNS",
        )
    if cause == "ConnectionRefusedError":
        return (
            "refused",
            f"the host in {peer.variable} refuses the connection",
            f"check host and port in {peer.variable}, and that the server there runs",
        )
    if cause in _BROKEN:
        return (
            "broken-off",
            f"{peer.name} breaks the connection off",
            f"check host and port in {peer.variable}, that it says {peer.tls} where the port wants "
            "TLS, and what stands between here and there",
        )
    if "SSL" in cause:
        return (
            "tls",
            f"TLS with {peer.name} fails ({detail})",
            f"check {peer.variable}, and what stands between here and there",
        )
    return (
        "unreachable",
        f"the host in {peer.variable} cannot be reached ({cause or 'no reason given'})",
        "check this machine's network, and that a firewall lets it reach the host",
    )


_PATHS = (
    "set SENTIFYD_BACKEND and SENTIFYD_LOGIN_PATH to those of your API: /api/login is documented, "
    "the hosted one has /api/v1/chatbot/login"
)
# Statuses of a login call that wants another body than this one.
_ABOUT_THE_BODY = (400, 415, 422)


def _rejected(peer: Peer, error: UpstreamRejected, seen: Seen | None) -> Verdict:
    status = f"{error.status}" + (", with a web page" if seen is not None and seen.is_page else "")
    later = f" and asks to wait {_seconds(error.retry_after)}" if error.retry_after else ""
    if error.status in (401, 403, 407) and seen is not None and seen.is_page:
        code, what = "web-page", f"a web page refuses the login ({error.status})"
        cure = (
            f"check for a firewall or proxy between here and {peer.name}, and the host in "
            f"{peer.variable}"
        )
    elif error.status in (401, 403):
        code, what = "key-refused", f"{peer.name} refuses the key ({status})"
        cure = (
            "copy the avatar's API key from the Sentifyd dashboard again, and check that AVATAR_ID "
            "and SENTIFYD_BACKEND are of the same avatar"
        )
    elif error.status in (404, 405, 410):
        code, what = "wrong-path", f"{peer.name} has no login call at this path ({status})"
        cure = _PATHS
    elif error.status == 429:
        code, what = "too-many", f"{peer.name} wants fewer logins ({status}){later}"
        cure = "wait; TOKEN_POLICY=pool or shared needs fewer logins"
    elif error.status >= 500:
        code, what = "upstream-failing", f"{peer.name} has a fault of its own ({status}){later}"
        cure = "try again later; if it stays, ask Sentifyd"
    else:
        code, what = "login-refused", f"{peer.name} does not take the login ({status})"
        cure = f"check what stands between here and {peer.name}; if it stays, ask Sentifyd"
        if error.status in _ABOUT_THE_BODY:
            cure = f"{_PATHS} and needs AVATAR_ID"
    return Verdict(peer.where, code, what, cure)


def _malformed(peer: Peer, error: UpstreamMalformed, seen: Seen | None) -> Verdict:
    detail = error.detail or ""
    if seen is not None and seen.is_redirect and seen.stays:
        return Verdict(
            peer.where,
            "redirect",
            f"{peer.name} redirects the login to another path of the same host ({seen.status})",
            "check SENTIFYD_LOGIN_PATH, a final slash too",
        )
    if seen is not None and seen.is_redirect:
        to = f"to {seen.target}" if seen.target else "elsewhere"
        return Verdict(
            peer.where,
            "redirect",
            f"{peer.name} redirects the login {to} ({seen.status}), and the key is not sent there",
            f"if that is the right place, write it into {peer.variable}; else {_PATHS}",
        )
    cure = _PATHS
    if seen is None:
        cure = (
            f"check host and port in {peer.variable}, and that it says {peer.tls} where the port "
            "wants TLS"
        )
    if seen is not None and seen.is_page:
        what, code = "a web page in place of JSON", "web-page"
    elif "too large" in detail:
        what, code = "more than any login's answer", "oversized"
    else:
        what, code = f"no usable answer ({detail})", "malformed"
    return Verdict(peer.where, code, f"{peer.name} gives {what}", cure)


def _seconds(number: float) -> str:
    # Not as many digits as a key has: the other server may have put it there.
    return f"{number:.0f} s" if number <= _DAY else "more than a day"
