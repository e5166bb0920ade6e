"""The environment becomes one frozen `Settings`, or is refused with a line for each mistake."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from edge_service.settings.avatars_file import Entry, read_avatars_file
from edge_service.settings.environment import Environment
from edge_service.settings.parsers import Network, Policy
from edge_service.settings.variables import Variables

__all__ = ["AvatarSettings", "ForwardedRules", "JwtRules", "Policy", "Settings", "SettingsError"]

_TRACING = (Variables.OTEL_EXPORTER_OTLP_ENDPOINT, Variables.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)


class SettingsError(ValueError):
    """The environment cannot be used.

    Attributes:
        problems: one line for each mistake; each names its variable and the cure, none a value.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtRules:
    """Which JWTs identify a visitor.

    Attributes:
        jwks_url: where the issuer publishes its keys. Not in the repr: a query may hold a secret.
        issuer: what `iss` must be.
        audience: what `aud` must contain.
        cookie: name of a cookie that may hold the token, beside `Authorization: Bearer`.
    """

    jwks_url: str = field(repr=False)
    issuer: str
    audience: str
    cookie: str | None = None

    @property
    def by_cookie(self) -> bool:
        """Whether a browser may identify its visitor by a cookie, without the page's doing."""
        return self.cookie is not None


@dataclass(frozen=True, slots=True)
class ForwardedRules:
    """How a trusted proxy tells who the visitor is.

    Attributes:
        header: the header that holds the user.
    """

    header: str = Variables.FORWARDED_USER_HEADER.default
    by_cookie: ClassVar[bool] = True  # as a rule the proxy knows its visitors by one


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
    login_url: str = Variables.SENTIFYD_BACKEND.default + Variables.SENTIFYD_LOGIN_PATH.default
    policy: Policy = Variables.TOKEN_POLICY.default


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
    avatars_file: Path | None = Variables.AVATARS_FILE.default
    require_origin: bool = Variables.REQUIRE_ORIGIN.default
    pool_size: int = Variables.TOKEN_POOL_SIZE.default
    rate_limit: str = Variables.RATE_LIMIT.default
    redis_url: str | None = field(default=Variables.REDIS_URL.default, repr=False)
    trusted_proxies: tuple[Network, ...] = Variables.TRUSTED_PROXIES.default
    visitor_auth: JwtRules | ForwardedRules | None = None
    seal_keys: tuple[str, ...] = field(default=Variables.SEAL_KEYS.default, repr=False)
    upstream_timeout: float = Variables.UPSTREAM_TIMEOUT.default
    upstream_concurrency: int = Variables.UPSTREAM_CONCURRENCY.default
    host: str = Variables.HOST.default
    port: int = Variables.PORT.default
    metrics_port: int | None = Variables.METRICS_PORT.default
    log_level: str = Variables.LOG_LEVEL.default
    log_format: str = Variables.LOG_FORMAT.default
    tracing: bool = False
    ca_file: Path | None = Variables.SSL_CERT_FILE.default

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str] | None = None, shown: Mapping[str, str] | None = None
    ) -> Settings:
        """Read the settings from environment variables.

        Args:
            environ: the variables; the process environment when not given.
            shown: what a variable is called in a problem, where an argument has set it.

        Raises:
            SettingsError: a variable is missing, malformed or left at a placeholder.
        """
        env = Environment(os.environ if environ is None else environ, shown)
        avatars_file = env.read(Variables.AVATARS_FILE)
        settings = cls(
            avatars=_avatars(env, avatars_file),
            avatars_file=avatars_file,
            require_origin=env.read(Variables.REQUIRE_ORIGIN),
            pool_size=env.read(Variables.TOKEN_POOL_SIZE),
            rate_limit=env.read(Variables.RATE_LIMIT),
            redis_url=env.read(Variables.REDIS_URL),
            trusted_proxies=env.read(Variables.TRUSTED_PROXIES),
            visitor_auth=_visitor_auth(env),
            seal_keys=env.read(Variables.SEAL_KEYS),
            upstream_timeout=env.read(Variables.UPSTREAM_TIMEOUT),
            upstream_concurrency=env.read(Variables.UPSTREAM_CONCURRENCY),
            host=env.read(Variables.HOST),
            port=env.read(Variables.PORT),
            metrics_port=env.read(Variables.METRICS_PORT),
            log_level=env.read(Variables.LOG_LEVEL),
            log_format=env.read(Variables.LOG_FORMAT),
            tracing=True in {env.read(variable) for variable in _TRACING if env.has(variable)},
            ca_file=env.read(Variables.SSL_CERT_FILE),
        )
        env.problems += _contradictions(settings, env.unusable)
        if env.problems:
            raise SettingsError(env.problems)
        return settings


def _avatars(env: Environment, path: Path | None) -> dict[str, AvatarSettings]:
    """Those of the file, and the one that the variables describe; these are the file's defaults."""
    key = env.read(Variables.AVATAR_API_KEY, required=not env.has(Variables.AVATARS_FILE))
    has_key = env.has(Variables.AVATAR_API_KEY)
    avatar_id = env.read(Variables.AVATAR_ID)
    allow_any = env.read(Variables.ALLOW_ANY_ORIGIN)
    entries: dict[str, Entry] = {}
    default = None
    if path is not None:
        entries, default = read_avatars_file(
            path, allow_any=allow_any, has_default=has_key, key=key, problems=env.problems
        )
        if not has_key:
            env.refuse(
                Variables.AVATAR_ID,
                reason="AVATAR_API_KEY is not: write avatar_id into AVATARS_FILE",
            )
    if avatar_id is not None and avatar_id in {
        key,
        *(entry.get("key") for entry in entries.values()),
    }:
        env.problems.append(
            "AVATAR_ID is the same as the API key, and an ID is public: put the avatar's ID there, "
            "and have the key replaced if it was published"
        )
    own_origins = all("allowed_origins" in entry for entry in entries.values())
    common: Entry = {
        "allowed_origins": env.read(
            Variables.ALLOWED_ORIGINS,
            required=path is None or has_key or not own_origins,
            allow_any=allow_any,
        ),
        "backend": env.read(Variables.SENTIFYD_BACKEND),
        "login_path": env.read(Variables.SENTIFYD_LOGIN_PATH),
        "policy": env.read(Variables.TOKEN_POLICY),
    }
    # One without a key, which is a problem already, may have others.
    avatars = {
        name: _avatar(name, {**common, "key": "", **entry}) for name, entry in entries.items()
    }
    if key is not None or path is None:
        avatars[""] = _avatar("", {**common, "key": key or "", "avatar_id": avatar_id})
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
    kind = env.read(Variables.VISITOR_AUTH)
    if kind != "jwt":
        env.refuse(
            *(Variables.JWT_JWKS_URL, Variables.JWT_ISSUER, Variables.JWT_AUDIENCE),
            Variables.JWT_COOKIE,
            reason="VISITOR_AUTH is not jwt: set VISITOR_AUTH=jwt or unset it",
        )
    if kind != "forwarded":
        env.refuse(
            Variables.FORWARDED_USER_HEADER,
            reason="VISITOR_AUTH is not forwarded: set VISITOR_AUTH=forwarded or unset it",
        )
    if kind == "jwt":
        # Where one is missing there is a problem already, and nothing is made of these rules.
        return JwtRules(
            jwks_url=env.read(Variables.JWT_JWKS_URL) or "",
            issuer=env.read(Variables.JWT_ISSUER) or "",
            audience=env.read(Variables.JWT_AUDIENCE) or "",
            cookie=env.read(Variables.JWT_COOKIE),
        )
    if kind == "forwarded":
        return ForwardedRules(env.read(Variables.FORWARDED_USER_HEADER))
    return None


def _contradictions(settings: Settings, unusable: Collection[str]) -> list[str]:
    """What is wrong together, and not only because a default stands in for what is unusable."""
    avatars = settings.avatars.values()
    auth = settings.visitor_auth
    problems = []
    if auth is not None and any(avatar.policy == "shared" for avatar in avatars):
        problems.append(
            "TOKEN_POLICY shared gives every visitor the same tokens, and VISITOR_AUTH tells "
            "visitors apart: use direct or pool, or set VISITOR_AUTH=none"
        )
    if (
        isinstance(auth, ForwardedRules)
        and not settings.trusted_proxies
        and Variables.TRUSTED_PROXIES.name not in unusable
    ):
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
            f"{_TRACING[0].name} needs OpenTelemetry: pip install 'mkdocs-sentifyd[otel]', "
            "or unset it"
        )
    if settings.metrics_port == settings.port and Variables.PORT.name not in unusable:
        problems.append("METRICS_PORT is the same as PORT: choose another")
    return problems


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
