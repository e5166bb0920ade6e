"""The environment becomes one frozen `Settings`, or is refused with a line for each mistake."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edge_service import variables
from edge_service.avatars_file import Entry, read_avatars_file
from edge_service.environment import Environment
from edge_service.identity import ForwardedRules, JwtRules
from edge_service.limiting import parse_rate_limits
from edge_service.variables import Network

__all__ = ["AvatarSettings", "Policy", "Settings", "SettingsError"]

DEFAULT_BACKEND = "https://backend.sentifyd.io"
DEFAULT_LOGIN_PATH = "/api/login"
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
Policy = Literal["direct", "pool", "shared"]
_TRACING = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_KEY = ("AVATAR_API_KEY", "AVATAR_API_KEY_FILE")
_JWT = ("JWT_JWKS_URL", "JWT_ISSUER", "JWT_AUDIENCE", "JWT_COOKIE")


class SettingsError(ValueError):
    """The environment cannot be used.

    Attributes:
        problems: one line for each mistake; each names its variable and the cure, none a value.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class AvatarSettings:
    """One avatar: its key, and who may use it.

    Attributes:
        api_key: the avatar's secret key. Never part of the repr.
        allowed_origins: origins that may ask for tokens, as browsers send them.
        name: its part of the address, after `/request_tokens/`; empty for the one without.
        allow_any_origin: every origin but `null` may ask.
        avatar_id: sent upstream beside the key when not `None`.
        login_url: absolute URL of Sentifyd's login call.
        policy: how a visitor's request becomes a grant.
    """

    api_key: str = field(repr=False)
    allowed_origins: frozenset[str]
    name: str = ""
    allow_any_origin: bool = False
    avatar_id: str | None = None
    login_url: str = DEFAULT_BACKEND + DEFAULT_LOGIN_PATH
    policy: Policy = "direct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the token service needs to know; `from_env` is the way to make one.

    Attributes:
        avatars: by their part of the address; the one under the empty text needs none.
        avatars_file: where some of them were read from.
        require_origin: refuse callers that send neither `Origin` nor `Sec-Fetch-Site`.
        pool_size: grants that the policy `pool` keeps ready for each avatar.
        rate_limit: requests a visitor may make, in the notation of the library `limits`.
        redis_url: shared state of several processes. Never part of the repr.
        trusted_proxies: networks whose `X-Forwarded-For` counts.
        visitor_auth: how visitors identify themselves; `None` when they need not.
        seal_keys: Fernet keys; the first one seals, all of them open. Never part of the repr.
        upstream_timeout: seconds for one whole exchange with Sentifyd.
        upstream_concurrency: logins that may be under way at once, for each login URL.
        host: address to listen on.
        port: TCP port to listen on.
        metrics_port: TCP port for `/metrics`; `None` leaves them on the public port.
        log_level: `debug`, `info`, `warning`, `error` or `critical`.
        log_format: `json`, or `console` for people.
        tracing: send OpenTelemetry traces, to where the standard variables `OTEL_*` say.
        ca_file: certificates to trust in place of the usual ones.
    """

    avatars: Mapping[str, AvatarSettings]
    avatars_file: Path | None = None
    require_origin: bool = False
    pool_size: int = 20
    rate_limit: str = "30/minute"
    redis_url: str | None = field(default=None, repr=False)
    trusted_proxies: tuple[Network, ...] = ()
    visitor_auth: JwtRules | ForwardedRules | None = None
    seal_keys: tuple[str, ...] = field(default=(), repr=False)
    upstream_timeout: float = 5.0
    upstream_concurrency: int = 32
    host: str = "127.0.0.1"
    port: int = 8080
    metrics_port: int | None = None
    log_level: str = "info"
    log_format: str = "json"
    tracing: bool = False
    ca_file: Path | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from environment variables.

        Args:
            environ: the variables; the process environment when not given.

        Raises:
            SettingsError: a variable is missing, malformed or left at a placeholder.
        """
        env = Environment(os.environ if environ is None else environ)
        avatars_file = env.read("AVATARS_FILE", lambda value: Path(value.strip()))
        avatars = _avatars(env, avatars_file)
        optional = {
            "require_origin": env.read("REQUIRE_ORIGIN", variables.boolean),
            "pool_size": env.read("TOKEN_POOL_SIZE", variables.integer(1, 1000)),
            "rate_limit": env.read("RATE_LIMIT", _rate_limit),
            "redis_url": env.read_secret("REDIS_URL", variables.redis_url),
            "trusted_proxies": env.read("TRUSTED_PROXIES", variables.networks),
            "seal_keys": env.read_secret("SEAL_KEYS", variables.seal_keys),
            "upstream_timeout": env.read("UPSTREAM_TIMEOUT", variables.number(0.1, 60)),
            "upstream_concurrency": env.read("UPSTREAM_CONCURRENCY", variables.integer(1, 1024)),
            "host": env.read("HOST", variables.host),
            "port": env.read("PORT", variables.integer(0, 65535)),
            "metrics_port": env.read("METRICS_PORT", variables.integer(1, 65535)),
            "ca_file": env.read("SSL_CERT_FILE", variables.certificates),
            "log_level": env.read("LOG_LEVEL", variables.choice(*LOG_LEVELS)),
            "log_format": env.read("LOG_FORMAT", variables.choice("json", "console")),
        }
        settings = cls(
            avatars=avatars,
            avatars_file=avatars_file,
            visitor_auth=_visitor_auth(env),
            tracing=bool(
                [env.read(name, variables.collector_url) for name in _TRACING if env.has(name)]
            ),
            **{name: value for name, value in optional.items() if value is not None},  # type: ignore[arg-type]
        )
        env.problems += _contradictions(settings)
        if env.problems:
            raise SettingsError(env.problems)
        return settings


def _avatars(env: Environment, path: Path | None) -> dict[str, AvatarSettings]:
    """Those of the file, and the one that the variables describe; these are the file's defaults."""
    key = env.read_secret(
        "AVATAR_API_KEY",
        variables.api_key,
        missing=""
        if env.has("AVATARS_FILE")
        else "put the avatar's API key there, or the path of a file that holds it into "
        "AVATAR_API_KEY_FILE",
    )
    avatar_id = env.read("AVATAR_ID", variables.avatar_id)
    allow_any = env.read("ALLOW_ANY_ORIGIN", variables.boolean) or False
    entries: dict[str, Entry] = {}
    default = None
    if path is not None:
        has_default = env.has(*_KEY)
        entries, default = read_avatars_file(
            path, allow_any=allow_any, has_default=has_default, problems=env.problems
        )
        if not has_default:
            env.refuse(("AVATAR_ID",), "AVATAR_API_KEY is not: write avatar_id into AVATARS_FILE")
    own_origins = all("allowed_origins" in entry for entry in entries.values())
    origins = env.read(
        "ALLOWED_ORIGINS",
        lambda value: variables.origins(value, allow_any=allow_any),
        missing=""
        if path is not None and own_origins and not env.has(*_KEY)
        else "list the origins of your site, such as https://docs.example.com",
    )
    common: Entry = {
        "allowed_origins": origins or frozenset(),
        "backend": env.read("SENTIFYD_BACKEND", variables.backend) or DEFAULT_BACKEND,
        "login_path": env.read("SENTIFYD_LOGIN_PATH", variables.login_path) or DEFAULT_LOGIN_PATH,
        "policy": env.read("TOKEN_POLICY", variables.token_policy) or "direct",
    }
    avatars = {
        name: _avatar(name, {**common, **entry})
        for name, entry in entries.items()
        if "key" in entry
    }
    if key is not None:
        avatars[""] = _avatar("", {**common, "key": key, "avatar_id": avatar_id})
    elif default in avatars:
        avatars[""] = avatars[default]
    return avatars


def _avatar(name: str, entry: Entry) -> AvatarSettings:
    return AvatarSettings(
        name=name,
        api_key=entry["key"],
        avatar_id=entry.get("avatar_id"),
        allowed_origins=entry["allowed_origins"] - {"*"},
        allow_any_origin="*" in entry["allowed_origins"],
        login_url=f"{entry['backend']}{entry['login_path']}",
        policy=entry["policy"],
    )


def _visitor_auth(env: Environment) -> JwtRules | ForwardedRules | None:
    kind = env.read("VISITOR_AUTH", variables.choice("none", "jwt", "forwarded"))
    if kind != "jwt":
        env.refuse(_JWT, "VISITOR_AUTH is not jwt: set VISITOR_AUTH=jwt or unset it")
    if kind != "forwarded":
        env.refuse(
            ("FORWARDED_USER_HEADER",),
            "VISITOR_AUTH is not forwarded: set VISITOR_AUTH=forwarded or unset it",
        )
    if kind == "jwt":
        needed = "VISITOR_AUTH=jwt needs it"
        rules = {
            "jwks_url": env.read("JWT_JWKS_URL", variables.jwks_url, missing=needed),
            "issuer": env.read("JWT_ISSUER", variables.claim, missing=needed),
            "audience": env.read("JWT_AUDIENCE", variables.claim, missing=needed),
        }
        cookie = env.read("JWT_COOKIE", variables.cookie_name)
        found = {name: value for name, value in rules.items() if value is not None}
        return JwtRules(**found, cookie=cookie) if len(found) == len(rules) else None
    if kind == "forwarded":
        header = env.read("FORWARDED_USER_HEADER", variables.header_name)
        return ForwardedRules(header) if header else ForwardedRules()
    return None


def _rate_limit(value: str) -> str:
    parse_rate_limits(value)
    return value


def _contradictions(settings: Settings) -> list[str]:
    """What is right by itself and wrong together."""
    avatars = settings.avatars.values()
    auth = settings.visitor_auth
    problems = []
    if auth is not None and any(avatar.policy == "shared" for avatar in avatars):
        problems.append(
            "TOKEN_POLICY shared gives every visitor the same tokens, and VISITOR_AUTH tells "
            "visitors apart: use direct or pool, or set VISITOR_AUTH=none"
        )
    if isinstance(auth, ForwardedRules) and not settings.trusted_proxies:
        problems.append(
            "TRUSTED_PROXIES is not set: this VISITOR_AUTH needs the networks of the proxies that "
            "tell who the visitor is"
        )
    if auth is not None and auth.by_cookie and any(avatar.allow_any_origin for avatar in avatars):
        problems.append(
            "ALLOW_ANY_ORIGIN would let every site ask in the name of a visitor who is signed in: "
            "list your own origins"
        )
    if settings.redis_url is not None and not _is_installed("redis"):
        problems.append("REDIS_URL needs the redis package: pip install 'mkdocs-sentifyd[redis]'")
    if settings.tracing and not _is_installed("opentelemetry.exporter.otlp.proto.http"):
        problems.append(
            f"{_TRACING[0]} needs OpenTelemetry: pip install 'mkdocs-sentifyd[otel]', or unset it"
        )
    if settings.metrics_port == settings.port:
        problems.append("METRICS_PORT is the same as PORT: choose another")
    return problems


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
