"""The environment variables of the token service, each declared and documented once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from edge_service.settings import parsers, urls
from edge_service.settings.parsers import Network
from edge_service.settings.policies import PolicyName, parse_policy

__all__ = ["Variable", "Variables", "declared"]

T = TypeVar("T")


@dataclass(slots=True)
class Variable(Generic[T]):
    """How one environment variable is read.

    Attributes:
        parse: makes a value of the text, or raises a `ValueError` that says how to fix it.
        default: the value when it is not set.
        secret: its text may not be shown, and may come from the file that `file_name` names.
        missing: how to fix its absence; empty when it may be missing.
        summary: for `sentifyd-edge serve --help`, which shows the variables that have one.
        name: as it stands in the environment.
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
        """The variable that names a file with the secret; `None` when this is not a secret."""
        return f"{self.name}_FILE" if self.secret else None


class Variables:
    """What the token service reads from its environment.

    A secret may stand in a file instead: the variable with `_FILE` at its end names the file, and
    excludes the one without. One line break at the file's end does not count.
    """

    AVATAR_API_KEY: Variable[str | None] = Variable(
        parsers.api_key,
        default=None,
        secret=True,
        missing="put the avatar's API key there, or the path of a file that holds it into "
        "AVATAR_API_KEY_FILE",
        summary="a file that holds the avatar's API key; or the key itself in AVATAR_API_KEY",
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
    of `AVATARS_FILE` has its own. An origin is `scheme://host` or `scheme://host:port`, as browsers
    send it: lower case, no path, no final slash, no default port."""

    AVATARS_FILE: Variable[Path | None] = Variable(
        parsers.path,
        default=None,
        summary="or, in place of both, a TOML file of several avatars",
    )
    """Path of a TOML file of [several avatars](../guide/avatars.md), read again
    on SIGHUP."""

    ALLOW_ANY_ORIGIN: Variable[bool] = Variable(parsers.boolean, default=False)
    """`true` makes `*` in `ALLOWED_ORIGINS` valid, so that every site may use the avatar."""

    REQUIRE_ORIGIN: Variable[bool] = Variable(parsers.boolean, default=False)
    """`true` refuses callers that send neither `Origin` nor `Sec-Fetch-Site`, which no browser
    does."""

    AVATAR_ID: Variable[str | None] = Variable(parsers.avatar_id, default=None)
    """The avatar's ID, sent to Sentifyd beside the key. The hosted v1 API needs it. Not without
    `AVATAR_API_KEY`: in `AVATARS_FILE` each avatar has its own."""

    SENTIFYD_BACKEND: Variable[str] = Variable(urls.backend, default="https://backend.sentifyd.io")
    """Base URL of Sentifyd: `https`, or `http` for a loopback host."""

    SENTIFYD_LOGIN_PATH: Variable[str] = Variable(parsers.login_path, default="/api/login")
    """Path of Sentifyd's login call, below `SENTIFYD_BACKEND`."""

    TOKEN_POLICY: Variable[PolicyName] = Variable(parse_policy, default="direct")
    """How a visitor's request becomes a token, and so [what a visitor costs](../guide/policies.md):
    `direct`, a login for each request; `pool`, logins ahead of time, each for one visitor; or
    `shared`, one for everybody, which contradicts `VISITOR_AUTH`."""

    TOKEN_POOL_SIZE: Variable[int] = Variable(parsers.integer(1, 1000), default=20)
    """Tokens that `pool` keeps ready for each avatar, 1 to 1000."""

    RATE_LIMIT: Variable[str] = Variable(
        parsers.checked(parsers.parse_rate_limits), default="30/minute"
    )
    """[Requests](../guide/limits.md#rate-limits) for each visitor and avatar: up to four
    limits, separated by semicolons, such as `10/second;300/hour`."""

    REDIS_URL: Variable[str | None] = Variable(urls.redis_url, default=None, secret=True)
    """[Redis](../guide/redis.md) for the limits and shared grants of all replicas, such
    as `redis://:password@redis.example.com:6379/0`, or `rediss://` for TLS. Needs the extra
    `redis`. Without it each process counts for itself."""

    TRUSTED_PROXIES: Variable[tuple[Network, ...]] = Variable(parsers.networks, default=())
    """Addresses and networks, separated by commas, whose
    [`X-Forwarded-For`](../guide/limits.md#behind-a-proxy) counts, such as `10.0.0.0/8`. Set it
    behind a proxy. Default: none."""

    VISITOR_AUTH: Variable[str] = Variable(
        parsers.choice("none", "jwt", "forwarded"), default="none"
    )
    """[Who the visitor is](../guide/identity.md): `none`, nobody asks; `jwt`, a
    JSON Web Token says; `forwarded`, a proxy in front says, which needs `TRUSTED_PROXIES`."""

    JWT_JWKS_URL: Variable[str | None] = Variable(
        urls.jwks_url,
        default=None,
        missing="VISITOR_AUTH=jwt needs it: write where the issuer publishes its keys",
    )
    """Where the issuer publishes its keys: `https`, or `http` for a loopback host. Required with
    `VISITOR_AUTH=jwt`, and refused without."""

    JWT_ISSUER: Variable[str | None] = Variable(
        parsers.claim,
        default=None,
        missing="VISITOR_AUTH=jwt needs it: write what iss says in visitors' tokens",
    )
    """What `iss` in a visitor's token must be. Required with `VISITOR_AUTH=jwt`, and refused
    without."""

    JWT_AUDIENCE: Variable[str | None] = Variable(
        parsers.claim,
        default=None,
        missing="VISITOR_AUTH=jwt needs it: write what aud holds in visitors' tokens",
    )
    """What `aud` in a visitor's token must hold. Required with `VISITOR_AUTH=jwt`, and refused
    without."""

    JWT_COOKIE: Variable[str | None] = Variable(parsers.cookie_name, default=None)
    """With `VISITOR_AUTH=jwt`: name of a cookie that may hold the token, beside
    `Authorization: Bearer`. It excludes `*` in `ALLOWED_ORIGINS`."""

    FORWARDED_USER_HEADER: Variable[str] = Variable(parsers.header_name, default="X-Forwarded-User")
    """With `VISITOR_AUTH=forwarded`: the header in which the proxy names the user."""

    SEAL_KEYS: Variable[tuple[str, ...]] = Variable(parsers.seal_keys, default=(), secret=True)
    """Keys for [refresh handles](../guide/sealing.md), as
    `sentifyd-edge keygen` prints them, separated by commas or line breaks. The first one seals, all
    of them open. When set, browsers get an encrypted handle in place of the refresh token."""

    UPSTREAM_TIMEOUT: Variable[float] = Variable(parsers.number(0.1, 60), default=5.0)
    """Seconds for a whole exchange with Sentifyd, 0.1 to 60."""

    UPSTREAM_CONCURRENCY: Variable[int] = Variable(parsers.integer(1, 1024), default=32)
    """Logins under way at once to each login URL, 1 to 1024."""

    METRICS_PORT: Variable[int | None] = Variable(parsers.integer(1, 65535), default=None)
    """A port of its own for [`/metrics`](../guide/monitoring.md#metrics), on the same `HOST`, other
    than `PORT`. For `sentifyd-edge serve` only. Default: they stand on `PORT`."""

    HOST: Variable[str] = Variable(parsers.host, default="127.0.0.1")
    """Address to listen on; `0.0.0.0` for every address of the machine."""

    PORT: Variable[int] = Variable(parsers.integer(0, 65535), default=8080)
    """Port to listen on; `0` takes any free one."""

    LOG_LEVEL: Variable[str] = Variable(
        parsers.choice("debug", "info", "warning", "error", "critical"), default="info"
    )
    """Least important lines that are logged: `debug`, `info`, `warning`, `error` or `critical`."""

    LOG_FORMAT: Variable[str] = Variable(parsers.choice("json", "console"), default="json")
    """`json`, or `console` for people. With `sentifyd-edge serve` the default is `console` where
    standard output is a terminal."""

    SSL_CERT_FILE: Variable[Path | None] = Variable(parsers.certificates, default=None)
    """File of certificates in PEM format to trust for Sentifyd, `JWT_JWKS_URL` and a Redis with
    TLS. Default: those of the package `certifi`, and for Redis the system's."""

    OTEL_EXPORTER_OTLP_ENDPOINT: Variable[bool] = Variable(urls.collector_url, default=False)
    """Base URL of an OpenTelemetry collector, to which [traces](../guide/monitoring.md#traces) go.
    Needs the extra `otel`. Default: no traces. The SDK's other variables count too."""

    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: Variable[bool] = Variable(urls.collector_url, default=False)
    """The same, as the whole URL, for traces only."""


def declared() -> Iterator[Variable[object]]:
    """Every variable, in the order of its declaration."""
    yield from (found for found in vars(Variables).values() if isinstance(found, Variable))
