"""The checks of the doctor: each does once what the service would do.

It does not check the ports to listen on and the collector of traces.

No output contains a key, a token, a body or the value of a variable.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path

from aiohttp import ClientResponse

from edge_service.doctor.diagnosis import (
    Peer,
    Verdict,
    count,
    judge_clock,
    judge_grant,
    judge_login,
    judge_network,
)
from edge_service.doctor.response_head import ResponseHead
from edge_service.errors import UpstreamError, UpstreamRejected
from edge_service.settings import AvatarSettings, JwtRules, Settings
from edge_service.settings.origin_patterns import is_pattern
from edge_service.upstream.client import Client
from edge_service.upstream.connections import trusted
from edge_service.upstream.logins import AvatarLogin

__all__ = ["examine", "refuse"]

# Few, because the checks must not load a server that has problems.
CONCURRENT_LOGINS = 4


def examine(
    settings: Settings, environ: Mapping[str, str], output: Callable[[str], None], *, as_json: bool
) -> int:
    """Run all checks, and print one line for each result as soon as it is known.

    Args:
        settings: of the service.
        environ: environment variables; only their names are printed.
        output: prints a line.
        as_json: print one JSON object with `ok` and `verdicts` at the end instead.

    Returns:
        The exit status: 0, or 1 if there are problems.
    """

    async def collect() -> list[Verdict]:
        found = []
        async for verdict in _verdicts(settings, environ):
            found.append(verdict)
            if not as_json:
                output(_line(verdict))
        return found

    verdicts = asyncio.run(collect())
    problems = [verdict for verdict in verdicts if not verdict.ok]
    if as_json:
        output(_as_json(verdicts))
    else:
        output(count(problems, "problem") if problems else "no problems")
    return 1 if problems else 0


def refuse(problems: Iterable[str], output: Callable[[str], None]) -> None:
    """Print as JSON that nothing was checked, because the settings are invalid."""
    fix = "fix the settings, and try again"
    output(_as_json([Verdict("settings", "settings-wrong", what, fix) for what in problems]))


def _as_json(verdicts: Sequence[Verdict]) -> str:
    listed = [
        {"ok": v.ok, "where": v.where, "code": v.code, "what": v.what, "fix": v.fix}
        for v in verdicts
    ]
    return json.dumps({"ok": all(v.ok for v in verdicts), "verdicts": listed}, indent=2)


def _line(verdict: Verdict) -> str:
    if verdict.ok:
        return f"ok    {verdict.where}: {verdict.what}"
    return f"FAIL  {verdict.where}: {verdict.what}: {verdict.fix}"


async def _verdicts(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Verdict]:
    if settings.ca_file is not None:
        yield _certificates(settings.ca_file)
    every = {origin for avatar in settings.avatars.values() for origin in avatar.allowed_origins}
    if patterns := [origin for origin in every if is_pattern(origin)]:
        what = f"{count(patterns, 'pattern')} for previews, those of forks included"
        yield Verdict("origins", "ok", what)
    ahead: list[float] = []
    for avatars in _by_login_url(settings):
        async for verdict in _logins(avatars, settings, environ, ahead):
            yield verdict
    if ahead:
        yield judge_clock(max(ahead, key=abs))
    if settings.redis_url is not None:
        # Imported here, so that a service without Redis needs no client.
        from edge_service.doctor.redis_check import check_redis

        yield await check_redis(settings.redis_url, settings.ca_file)
    if isinstance(settings.visitor_auth, JwtRules):
        yield await _key_set(settings.visitor_auth.jwks_url, settings, environ)


def _by_login_url(settings: Settings) -> Iterator[list[AvatarSettings]]:
    """The avatars, grouped by login URL; each appears once."""
    # The default avatar of AVATARS_FILE is in the settings twice.
    avatars = {id(avatar): avatar for avatar in settings.avatars.values()}.values()
    for url in dict.fromkeys(avatar.login_url for avatar in avatars):
        yield [avatar for avatar in avatars if avatar.login_url == url]


async def _logins(
    avatars: Sequence[AvatarSettings],
    settings: Settings,
    environ: Mapping[str, str],
    ahead: list[float],
) -> AsyncIterator[Verdict]:
    """Log in avatars of one login URL: first one, then several, until the server has a problem."""
    rest, batch = avatars[1:], avatars[:1]
    tls = trusted(settings.ca_file)
    async with aclosing(Client(settings.upstream_timeout, CONCURRENT_LOGINS, tls)) as client:
        while batch:
            found = await asyncio.gather(*(_login(a, client, environ, ahead) for a in batch))
            for verdict, _ in found:
                yield verdict
            failed = [verdict.where for verdict, server_failed in found if server_failed]
            if failed and rest:
                where = f"{len(rest)} more with this login URL"
                yield Verdict(where, "not-tried", "not tried", f"fix {failed[0]} first")
                return
            rest, batch = rest[CONCURRENT_LOGINS:], rest[:CONCURRENT_LOGINS]


async def _login(
    avatar: AvatarSettings, client: Client, environ: Mapping[str, str], ahead: list[float]
) -> tuple[Verdict, bool]:
    """The verdict of one login, and whether the server itself has a problem."""
    where = f"/request_tokens/{avatar.name}" if avatar.name else "/request_tokens"
    variable = "SENTIFYD_BACKEND, or backend in AVATARS_FILE" if avatar.name else "SENTIFYD_BACKEND"
    heads: list[ResponseHead] = []

    def observe(response: ClientResponse) -> None:
        heads.append(ResponseHead.of(response, avatar.api_key))

    try:
        grant = await AvatarLogin(avatar, client).login(observe)
    except UpstreamError as error:
        head = heads[-1] if heads else None
        verdict = judge_login(Peer(where, "Sentifyd", variable, environ), error, head)
        rejected = isinstance(error, UpstreamRejected) and error.status < 500
        server_failed = head is None or not rejected or verdict.code in ("too-many", "web-page")
    else:
        verdict, server_failed = judge_grant(where, grant), False
    ahead += [head.ahead for head in heads[-1:] if head.ahead is not None]
    return verdict, server_failed


async def _key_set(url: str, settings: Settings, environ: Mapping[str, str]) -> Verdict:
    from edge_service.admission.jwks import UnusableKeySet, parse_key_set
    from edge_service.app import fetch_key_set

    try:
        keys = parse_key_set(await fetch_key_set(url, settings))
    except UnusableKeySet:
        what = "the issuer's answer contains no key that can verify tokens"
        fix = "set JWT_JWKS_URL to a JWKS document with asymmetric keys"
        return Verdict("issuer", "key-set-unusable", what, fix)
    except UpstreamError as error:
        return judge_network(Peer("issuer", "the issuer", "JWT_JWKS_URL", environ), error)
    return Verdict("issuer", "ok", f"its key set contains {count(keys, 'usable key')}")


def _certificates(path: Path) -> Verdict:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with suppress(OSError, ssl.SSLError):
        context.load_verify_locations(path)
    ends = [ssl.cert_time_to_seconds(str(one["notAfter"])) for one in context.get_ca_certs()]
    live = [end for end in ends if end > time.time()]
    if live or not ends:
        # Without `ends`, the file has certificates that are trusted, but not of authorities.
        return Verdict("certificates", "ok", "SSL_CERT_FILE is usable")
    return Verdict(
        "certificates",
        "certificates-expired",
        "all certificates in SSL_CERT_FILE have expired",
        "replace them by current ones, or set this machine's clock",
    )
