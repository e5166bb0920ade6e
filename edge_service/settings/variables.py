"""The environment variables of the token service, each declared and documented once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from edge_service.settings import parsers, urls
from edge_service.settings.networks import Network, parse_networks
from edge_service.settings.policies import PolicyName, parse_policy
from edge_service.settings.redis_url import redis_url

__all__ = ["Variable", "Variables", "declared"]

T = TypeVar("T")


@dataclass(slots=True)
class Variable(Generic[T]):
    """Declaration of one environment variable.

    Attributes:
        parse: converts the string to a value, or raises a `ValueError` that says how to fix it.
        default: the value when the variable is unset.
        secret: never show its value; the variable `file_name` may name a file that contains it.
        missing: for a required variable, how to fix that it is unset; empty for an optional one.
        summary: its line in `sentifyd-edge serve --help`; empty leaves it out.
        name: its name in the environment.
    """

    parse: Callable[..., T]
    default: T
    secret: bool = False
    missing: str = ""
    summary: str = ""
    name: str = field(init=False, default="")

    def __set_name__(self, _: type, name: str) -> None:
        self.name = name

    @property
    def file_name(self) -> str | None:
        """The variable that names a file with the secret; `None` for other variables."""
        return f"{self.name}_FILE" if self.secret else None


class Variables:
    """Every environment variable of the token service.

    A secret can be read from a file instead: the variable with the suffix `_FILE` names the file.
    Set only one of the two. Line breaks at the end of the file are ignored.

    `sentifyd-edge serve` can read a file of variables, and
    [reads all files again](../guide/reloading.md) at SIGHUP. Only `HOST`, `PORT`, `METRICS_PORT`
    and `OTEL_*` need a restart.
    """

    AVATAR_API_KEY: Variable[str | None] = Variable(
        parsers.api_key,
        default=None,
        secret=True,
        missing="set it to the avatar's API key, or set AVATAR_API_KEY_FILE to the path of a file "
        "that contains the key",
        summary="a file that contains the avatar's API key; or set the key in AVATAR_API_KEY",
    )
    """The avatar's secret key, from the Sentifyd dashboard. Required, unless `AVATARS_FILE` is set.
    A placeholder such as `changeme` is refused."""

    ALLOWED_ORIGINS: Variable[frozenset[str]] = Variable(
        urls.origins,
        default=frozenset(),
        missing="list the origins of your site, such as https://docs.example.com",
        summary="origins of your sites, separated by commas",
    )
    """Origins of your sites, separated by commas; compared exactly. Required, unless every avatar
    in `AVATARS_FILE` has its own. An origin is `scheme://host` or `scheme://host:port`, as browsers
    send it: lower case, no path, no final slash, no default port. A
    [pattern](../guide/previews.md) such as `https://*.preview.example.com` stands for the origins
    of previews."""

    AVATARS_FILE: Variable[Path | None] = Variable(
        parsers.path,
        default=None,
        summary="or, instead of both, a TOML file of several avatars",
    )
    """Path of a TOML file of [several avatars](../guide/avatars.md)."""

    ALLOW_ANY_ORIGIN: Variable[bool] = Variable(parsers.boolean, default=False)
    """`true` allows `*` in `ALLOWED_ORIGINS`, so that every site may use the avatar."""

    REQUIRE_ORIGIN: Variable[bool] = Variable(parsers.boolean, default=False)
    """`true` refuses callers that send neither `Origin` nor `Sec-Fetch-Site`. Browsers always send
    one of them; scripts may not."""

    AVATAR_ID: Variable[str | None] = Variable(parsers.avatar_id, default=None)
    """The avatar's ID, sent to Sentifyd with the key. The hosted v1 API needs it. It requires
    `AVATAR_API_KEY`; in `AVATARS_FILE` each avatar has its own `avatar_id`."""

    SENTIFYD_BACKEND: Variable[str] = Variable(urls.backend, default="https://backend.sentifyd.io")
    """Base URL of Sentifyd: `https`, or `http` for a loopback host."""

    SENTIFYD_LOGIN_PATH: Variable[str] = Variable(parsers.login_path, default="/api/login")
    """Path of Sentifyd's login call, appended to `SENTIFYD_BACKEND`."""

    TOKEN_POLICY: Variable[PolicyName] = Variable(parse_policy, default="direct")
    """How a visitor's request becomes a token, and so [what a visitor costs](../guide/policies.md):
    `direct`, one login for each request; `pool`, logins ahead of time, each for one visitor; or
    `shared`, one login for all visitors, which cannot be combined with `VISITOR_AUTH`."""

    TOKEN_POOL_SIZE: Variable[int] = Variable(parsers.integer(1, 1000), default=20)
    """Target number of ready grants for each avatar with the policy `pool`, 1 to 1000."""

    LOGIN_BUDGET: Variable[str | None] = Variable(
        parsers.checked(parsers.parse_login_budget), default=None
    )
    """[Logins](../guide/budget.md) that the service may make at Sentifyd for one avatar: up to four
    limits, separated by semicolons, such as `2000/hour;20000/day`. Default: any number."""

    RATE_LIMIT: Variable[str] = Variable(
        parsers.checked(parsers.parse_rate_limits), default="30/minute"
    )
    """[Requests](../guide/limits.md#rate-limits) that one visitor may make for one avatar: up
    to four limits, separated by semicolons, such as `10/second;300/hour`."""

    REDIS_URL: Variable[str | None] = Variable(redis_url, default=None, secret=True)
    """[Redis](../guide/redis.md) in which replicas share rate limits, login budgets and grants,
    such as `redis://:password@redis.example.com:6379/0`, or `rediss://` for TLS. Sentinel,
    clusters, Unix sockets and client certificates have
    [their own forms](../guide/redis.md#forms-of-the-url). Needs the extra `redis`.
    When unset, each process keeps its own counters."""

    TRUSTED_PROXIES: Variable[tuple[Network, ...]] = Variable(parse_networks, default=())
    """Addresses and networks of your proxies, separated by commas, such as `10.0.0.0/8`. Their
    [`X-Forwarded-For`](../guide/limits.md#behind-a-proxy) is trusted. Set it behind a proxy.
    Networks that together are the whole internet are refused. Default: none."""

    VISITOR_AUTH: Variable[str] = Variable(
        parsers.choice("none", "jwt", "forwarded"), default="none"
    )
    """How [visitors are identified](../guide/identity.md): `none`, not at all;
    `jwt`, by a JSON Web Token; `forwarded`, by a proxy in front, which needs `TRUSTED_PROXIES`."""

    JWT_JWKS_URL: Variable[str | None] = Variable(
        urls.jwks_url,
        default=None,
        missing="VISITOR_AUTH=jwt needs it: set it to the URL of the issuer's key set",
    )
    """URL of the issuer's key set (JWKS): `https`, or `http` for a loopback host. Required with
    `VISITOR_AUTH=jwt`, and refused without."""

    JWT_ISSUER: Variable[str | None] = Variable(
        parsers.claim,
        default=None,
        missing="VISITOR_AUTH=jwt needs it: set it to the claim iss of visitors' tokens",
    )
    """Required value of the claim `iss` in visitors' tokens. Required with `VISITOR_AUTH=jwt`, and
    refused without."""

    JWT_AUDIENCE: Variable[str | None] = Variable(
        parsers.claim,
        default=None,
        missing="VISITOR_AUTH=jwt needs it: set it to the claim aud of visitors' tokens",
    )
    """Value that the claim `aud` in visitors' tokens must contain. Required with
    `VISITOR_AUTH=jwt`, and refused without."""

    JWT_COOKIE: Variable[str | None] = Variable(parsers.cookie_name, default=None)
    """With `VISITOR_AUTH=jwt`: name of a cookie that is accepted as well as
    `Authorization: Bearer`. It cannot be combined with `*` in `ALLOWED_ORIGINS`."""

    FORWARDED_USER_HEADER: Variable[str] = Variable(parsers.header_name, default="X-Forwarded-User")
    """With `VISITOR_AUTH=forwarded`: the header in which the proxy names the user."""

    SEAL_KEYS: Variable[tuple[str, ...]] = Variable(parsers.seal_keys, default=(), secret=True)
    """Keys for [refresh handles](../guide/sealing.md), as
    `sentifyd-edge keygen` prints them, separated by commas or line breaks. The first one encrypts,
    all of them decrypt. When set, browsers get an encrypted handle instead of the refresh token."""

    UPSTREAM_TIMEOUT: Variable[float] = Variable(parsers.number(0.1, 60), default=5.0)
    """Seconds for a whole exchange with Sentifyd, 0.1 to 60."""

    UPSTREAM_CONCURRENCY: Variable[int] = Variable(parsers.integer(1, 1024), default=32)
    """Maximum number of concurrent logins to each login URL, 1 to 1024."""

    METRICS_PORT: Variable[int | None] = Variable(parsers.integer(1, 65535), default=None)
    """A separate port for [`/metrics`](../guide/monitoring.md#metrics), on the same `HOST`. Only
    `sentifyd-edge serve` supports it. Default: `/metrics` is on `PORT`."""

    HOST: Variable[str] = Variable(parsers.host, default="127.0.0.1")
    """Address to listen on; `0.0.0.0` for every address of the machine."""

    PORT: Variable[int] = Variable(parsers.integer(0, 65535), default=8080)
    """Port to listen on; `0` takes any free one."""

    DRAIN_SECONDS: Variable[float] = Variable(parsers.number(0, 3600), default=0.0)
    """Seconds that the service keeps serving after SIGTERM, with 503 at `/readyz`, before it
    [stops](../guide/operations.md#draining); 0 to 3600. For load balancers that probe `/readyz`.
    Only `sentifyd-edge serve` supports it."""

    LOG_LEVEL: Variable[str] = Variable(
        parsers.choice("debug", "info", "warning", "error", "critical"), default="info"
    )
    """Lowest level that is logged: `debug`, `info`, `warning`, `error` or `critical`."""

    LOG_FORMAT: Variable[str] = Variable(parsers.choice("json", "console"), default="json")
    """`json`, or `console` for people. The default of `sentifyd-edge serve` is `console` when
    standard output is a terminal."""

    LOG_HEALTH: Variable[bool] = Variable(parsers.boolean, default=False)
    """`true` logs every request of `/livez`, `/readyz` and `/metrics`. By default, only those
    that [fail](../guide/monitoring.md#logs) have a line."""

    SSL_CERT_FILE: Variable[Path | None] = Variable(parsers.certificates, default=None)
    """PEM file of certificate authorities to trust for Sentifyd, `JWT_JWKS_URL` and Redis with TLS.
    Default: those of the package `certifi`, and for Redis the system's."""

    OTEL_EXPORTER_OTLP_ENDPOINT: Variable[bool] = Variable(urls.collector_url, default=False)
    """Base URL of an OpenTelemetry collector for [traces](../guide/monitoring.md#traces). Needs the
    extra `otel`. Default: no traces. The SDK also respects its other variables `OTEL_*`."""

    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: Variable[bool] = Variable(urls.collector_url, default=False)
    """The complete URL of the collector, for traces only."""


def declared() -> Iterator[Variable[object]]:
    """Every variable, in the order of declaration."""
    yield from (found for found in vars(Variables).values() if isinstance(found, Variable))
