"""Why there are no tokens: what a login needs is tried once, as the service would.

Neither the ports to listen on nor a collector of traces are.

No key, token, body or value of a variable is ever part of what is told.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

import requests

from edge_service.doctor.diagnosis import (
    Peer,
    Verdict,
    count,
    judge_clock,
    judge_grant,
    judge_login,
    judge_network,
)
from edge_service.doctor.response_head import Seen
from edge_service.errors import UpstreamError, UpstreamRejected, UpstreamUnreachable
from edge_service.settings import AvatarSettings, JwtRules, Settings
from edge_service.upstream.client import Client, fault_of
from edge_service.upstream.logins import AvatarLogin

__all__ = ["examine", "refuse"]

# Far below any circuit's patience, and fewer than slots, so that no login waits for another.
AT_ONCE = 4
REDIS_SECONDS = 2.0
REDIS_KEY = "sentifyd:doctor"
REDIS_SCRIPT = "return redis.call('del', KEYS[1])"
TOO_MANY = "max number"


def examine(
    settings: Settings, environ: Mapping[str, str], say: Callable[[str], None], *, as_json: bool
) -> int:
    """Try everything, and tell what was found: a line each, as soon as it is known.

    Args:
        settings: of the service.
        environ: environment variables, of which names alone are told.
        say: prints a line.
        as_json: print one JSON object in the end instead, of `ok` and `verdicts`.

    Returns:
        The exit status: 0, or 1 when there is something to mend.
    """

    async def collect() -> list[Verdict]:
        found = []
        async for verdict in _verdicts(settings, environ):
            found.append(verdict)
            if not as_json:
                say(_line(verdict))
        return found

    verdicts = asyncio.run(collect())
    to_mend = sum(not verdict.ok for verdict in verdicts)
    if as_json:
        say(_as_json(verdicts))
    else:
        say(f"{to_mend} to mend" if to_mend else "nothing to mend")
    return 1 if to_mend else 0


def refuse(problems: Iterable[str], say: Callable[[str], None]) -> None:
    """Print as JSON that nothing was tried, because the settings are wrong."""
    cure = "mend the settings, and try again"
    say(_as_json([Verdict("settings", "settings-wrong", what, cure) for what in problems]))


def _as_json(verdicts: Sequence[Verdict]) -> str:
    listed = [
        {"ok": v.ok, "where": v.where, "code": v.code, "what": v.what, "cure": v.cure}
        for v in verdicts
    ]
    return json.dumps({"ok": all(v.ok for v in verdicts), "verdicts": listed}, indent=2)


def _line(verdict: Verdict) -> str:
    if verdict.ok:
        return f"ok    {verdict.where}: {verdict.what}"
    return f"FAIL  {verdict.where}: {verdict.what}: {verdict.cure}"


async def _verdicts(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Verdict]:
    if settings.ca_file is not None:
        yield _certificates(settings.ca_file)
    ahead: list[float] = []
    for avatars in _by_login_url(settings):
        async for verdict in _logins(avatars, settings, environ, ahead):
            yield verdict
    if ahead:
        yield judge_clock(max(ahead, key=abs))
    if settings.redis_url is not None:
        yield await _redis(settings.redis_url)
    if isinstance(settings.visitor_auth, JwtRules):
        yield await _key_set(settings.visitor_auth.jwks_url, settings, environ)


def _by_login_url(settings: Settings) -> Iterator[list[AvatarSettings]]:
    """Each avatar once, together with the others of its login URL."""
    # The default avatar of a file stands in the settings twice.
    avatars = {id(avatar): avatar for avatar in settings.avatars.values()}.values()
    for url in dict.fromkeys(avatar.login_url for avatar in avatars):
        yield [avatar for avatar in avatars if avatar.login_url == url]


async def _logins(
    avatars: Sequence[AvatarSettings],
    settings: Settings,
    environ: Mapping[str, str],
    ahead: list[float],
) -> AsyncIterator[Verdict]:
    """Avatars of one login URL; the first of them alone, and no further one to a server in need."""
    rest, some = avatars[1:], avatars[:1]
    with closing(Client(settings.upstream_timeout, AT_ONCE, settings.ca_file)) as outbound:
        while some:
            found = await asyncio.gather(*(_login(a, outbound, environ, ahead) for a in some))
            for verdict, _ in found:
                yield verdict
            needy = [verdict.where for verdict, is_in_need in found if is_in_need]
            if needy and rest:
                where = f"{len(rest)} more with this login URL"
                yield Verdict(where, "not-tried", "not tried", f"mend {needy[0]} first")
                return
            rest, some = rest[AT_ONCE:], rest[:AT_ONCE]


async def _login(
    avatar: AvatarSettings, outbound: Client, environ: Mapping[str, str], ahead: list[float]
) -> tuple[Verdict, bool]:
    """One login, and whether the server should rather be left alone."""
    where = f"/request_tokens/{avatar.name}" if avatar.name else "/request_tokens"
    variable = "SENTIFYD_BACKEND, or backend in AVATARS_FILE" if avatar.name else "SENTIFYD_BACKEND"
    heads: list[Seen] = []

    def look(response: requests.Response) -> None:
        heads.append(Seen.of(response, avatar.api_key))

    try:
        grant = await AvatarLogin(avatar, outbound).login(look)
    except UpstreamError as error:
        seen = heads[-1] if heads else None
        verdict = judge_login(Peer(where, "Sentifyd", variable, environ), error, seen)
        rejected = isinstance(error, UpstreamRejected) and error.status < 500
        in_need = seen is None or not rejected or verdict.code in ("too-many", "web-page")
    else:
        verdict, in_need = judge_grant(where, grant), False
    ahead += [seen.ahead for seen in heads[-1:] if seen.ahead is not None]
    return verdict, in_need


async def _redis(url: str) -> Verdict:
    from redis.asyncio import Redis
    from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError
    from redis.exceptions import ConnectionError as ConnectionLost
    from redis.exceptions import TimeoutError as TooSlow

    from edge_service.redis_client import connection_pool

    pool = connection_pool(url, 1)
    failure: UpstreamError = UpstreamUnreachable()
    try:
        async with asyncio.timeout(REDIS_SECONDS):
            client = Redis(connection_pool=pool)
            await client.ping()
            # As rate limits and shared grants do: a key that expires, and a stored script.
            await client.set(REDIS_KEY, "", px=int(REDIS_SECONDS * 1000))
            await client.register_script(REDIS_SCRIPT)([REDIS_KEY])
        return Verdict("redis", "ok", "it answers")
    except AuthenticationError:
        what = "Redis refuses name or password"
        return Verdict("redis", "redis-refused", what, "check those in REDIS_URL")
    except (TooSlow, TimeoutError):
        what = "Redis gives no answer in time"
        cure = (
            "check REDIS_URL, in which rediss:// is for TLS only, and that a firewall lets this "
            "machine reach the host"
        )
        return Verdict("redis", "timeout", what, cure)
    except (RedisError, OSError) as error:
        # Two errors that a Redis answers with are lost connections to its library.
        is_lost = isinstance(error, (ConnectionLost, OSError))
        if not is_lost or isinstance(error, BusyLoadingError) or str(error).startswith(TOO_MANY):
            what = f"Redis answers with an error ({type(error).__name__})"
            cure = (
                "look into the log of that Redis; it must let this user write keys that begin with "
                "sentifyd: and run scripts, and have memory and connections left"
            )
            return Verdict("redis", "redis-failing", what, cure)
        failure.cause, failure.detail = fault_of(error)
    finally:
        with suppress(RedisError, OSError):
            await pool.disconnect()
    return judge_network(Peer("redis", "Redis", "REDIS_URL", tls="rediss://"), failure)


async def _key_set(url: str, settings: Settings, environ: Mapping[str, str]) -> Verdict:
    from edge_service.admission.jwks import UnusableKeySet, parse_key_set
    from edge_service.app import fetch_key_set

    try:
        keys = parse_key_set(await fetch_key_set(url, settings))
    except UnusableKeySet:
        what = "the issuer's answer holds no key that tokens may be checked with"
        cure = "check that JWT_JWKS_URL names a JWKS document of asymmetric keys"
        return Verdict("issuer", "key-set-unusable", what, cure)
    except UpstreamError as error:
        return judge_network(Peer("issuer", "the issuer", "JWT_JWKS_URL", environ), error)
    return Verdict("issuer", "ok", f"its key set holds {count(keys, 'usable key')}")


def _certificates(path: Path) -> Verdict:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with suppress(OSError, ssl.SSLError):
        context.load_verify_locations(path)
    ends = [ssl.cert_time_to_seconds(str(one["notAfter"])) for one in context.get_ca_certs()]
    live = [end for end in ends if end > time.time()]
    if live or not ends:
        # Certificates of others than authorities are trusted too, and not listed.
        return Verdict("certificates", "ok", "SSL_CERT_FILE can be used")
    return Verdict(
        "certificates",
        "certificates-expired",
        "all that SSL_CERT_FILE holds have expired",
        "put current ones there, or set this machine's clock",
    )
