"""`Settings`: the complete, validated configuration of the service."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from edge_service.settings.environment import Environment
from edge_service.settings.networks import EVERYONE, Network, trust_everyone
from edge_service.settings.origin_patterns import is_pattern
from edge_service.settings.policies import POLICIES
from edge_service.settings.reader import read_avatars, read_visitor_auth
from edge_service.settings.rules import AvatarSettings, ForwardedRules, JwtRules
from edge_service.settings.variables import Variable, Variables

__all__ = ["Settings", "SettingsError"]

T = TypeVar("T")

_TRACING = (Variables.OTEL_EXPORTER_OTLP_ENDPOINT, Variables.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)


class SettingsError(ValueError):
    """The settings are invalid.

    Attributes:
        problems: one line for each mistake. Each names its variable and how to fix it; none quotes
            a value.
        variables: for each conflict between settings, the variable that causes it.
    """

    def __init__(self, problems: Sequence[str], variables: Sequence[str] = ()) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
        self.variables = tuple(variables)


def _from(variable: Variable[T]) -> T:
    """A dataclass field that is read from one variable; a secret is left out of the repr."""
    found: T = field(
        default=variable.default, repr=not variable.secret, metadata={"variable": variable}
    )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Configuration of the token service; usually created with `from_env`.

    Attributes:
        avatars: avatars by the last segment of their URL path; the key `""` is the default avatar,
            on `/request_tokens`.
        avatars_file: the file that some of the avatars were read from.
        require_origin: refuse callers that send neither `Origin` nor `Sec-Fetch-Site`.
        pool_size: target number of ready grants for each avatar with the policy `pool`.
        rate_limit: requests a visitor may make, in the notation of the library `limits`.
        redis_url: Redis for the shared state of several processes. Never part of the repr.
        trusted_proxies: networks whose `X-Forwarded-For` is trusted.
        visitor_auth: how visitors are identified; `None` disables it.
        seal_keys: Fernet keys. The first one encrypts, all of them decrypt. Never part of the repr.
        upstream_timeout: seconds for one whole exchange with Sentifyd.
        upstream_concurrency: maximum number of concurrent logins to each login URL.
        host: address to listen on.
        port: TCP port to listen on.
        metrics_port: TCP port for `/metrics`; `None` serves it on the public port.
        drain_seconds: seconds to serve after SIGTERM, with 503 at `/readyz`, before the shutdown.
        log_level: `debug`, `info`, `warning`, `error` or `critical`.
        log_format: `json`, or `console` for people.
        log_health: log successful requests of health and metrics routes too.
        tracing: send OpenTelemetry traces; the standard variables `OTEL_*` configure where.
        ca_file: certificate authorities to trust in place of the defaults.

    Raises:
        SettingsError: the values conflict, or need a package that is not installed.
    """

    # In the order in which problems are reported.
    avatars_file: Path | None = _from(Variables.AVATARS_FILE)
    avatars: Mapping[str, AvatarSettings]
    require_origin: bool = _from(Variables.REQUIRE_ORIGIN)
    pool_size: int = _from(Variables.TOKEN_POOL_SIZE)
    rate_limit: str = _from(Variables.RATE_LIMIT)
    redis_url: str | None = _from(Variables.REDIS_URL)
    trusted_proxies: tuple[Network, ...] = _from(Variables.TRUSTED_PROXIES)
    visitor_auth: JwtRules | ForwardedRules | None = None
    seal_keys: tuple[str, ...] = _from(Variables.SEAL_KEYS)
    upstream_timeout: float = _from(Variables.UPSTREAM_TIMEOUT)
    upstream_concurrency: int = _from(Variables.UPSTREAM_CONCURRENCY)
    host: str = _from(Variables.HOST)
    port: int = _from(Variables.PORT)
    metrics_port: int | None = _from(Variables.METRICS_PORT)
    drain_seconds: float = _from(Variables.DRAIN_SECONDS)
    log_level: str = _from(Variables.LOG_LEVEL)
    log_format: str = _from(Variables.LOG_FORMAT)
    log_health: bool = _from(Variables.LOG_HEALTH)
    tracing: bool = False
    ca_file: Path | None = _from(Variables.SSL_CERT_FILE)

    def __post_init__(self) -> None:
        if found := list(self._contradictions()):
            raise SettingsError([text for _, text in found], [variable for variable, _ in found])

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str] | None = None, shown: Mapping[str, str] | None = None
    ) -> Settings:
        """Read the settings from environment variables.

        Args:
            environ: the variables; by default the environment of the process.
            shown: other names for variables in error messages, such as `--port` for `PORT`.

        Raises:
            SettingsError: a variable is missing, malformed or still a placeholder.
        """
        return cls.of(Environment(os.environ if environ is None else environ, shown))

    @classmethod
    def of(cls, env: Environment) -> Settings:
        """Read the settings from an environment, which then knows the files that were read.

        Raises:
            SettingsError: a variable is missing, malformed or still a placeholder.
        """
        values: dict[str, Any] = {}
        readers: dict[str, Callable[[], object]] = {
            "avatars": lambda: read_avatars(env, values["avatars_file"]),
            "visitor_auth": lambda: read_visitor_auth(env),
            "tracing": lambda: True in {env.read(one) for one in _TRACING if env.has(one)},
        }
        for one in fields(cls):
            reader = readers.get(one.name)
            values[one.name] = reader() if reader else env.read(one.metadata["variable"])
        if (certificates := values["ca_file"]) is not None:
            with suppress(OSError):
                env.note(Variables.SSL_CERT_FILE, certificates.read_bytes())
        settings = None
        try:
            settings = cls(**values)
        except SettingsError as error:
            # A conflict with the default of an invalid variable would only mislead.
            env.problems += [
                text
                for text, variable in zip(error.problems, error.variables, strict=True)
                if variable not in env.unusable
            ]
        if settings is None or env.problems:
            raise SettingsError(env.problems)
        return settings

    def check_authenticator(self, *, by_cookie: bool) -> None:
        """Check that the settings fit an authenticator that the application provides.

        Args:
            by_cookie: whether the browser sends the credentials by itself, as it does cookies.

        Raises:
            SettingsError: they conflict with it.
        """
        problems = [
            text for _, text in self._identity("the application's authenticator", by_cookie)
        ]
        if self.visitor_auth is not None:
            problems.append(
                "VISITOR_AUTH is set, and the application has its own authenticator: keep one of "
                "them"
            )
        if problems:
            raise SettingsError(problems)

    def _contradictions(self) -> Iterator[tuple[str, str]]:
        """Pairs of the variable that causes a conflict, and the message."""
        auth = self.visitor_auth
        if auth is not None:
            yield from self._identity(Variables.VISITOR_AUTH.name, auth.by_cookie)
        if isinstance(auth, ForwardedRules) and not self.trusted_proxies:
            yield (
                Variables.TRUSTED_PROXIES.name,
                "TRUSTED_PROXIES is not set: this VISITOR_AUTH needs the networks of the proxies "
                "that identify visitors",
            )
        if trust_everyone(self.trusted_proxies):
            yield (Variables.TRUSTED_PROXIES.name, f"{Variables.TRUSTED_PROXIES.name} {EVERYONE}")
        if self.redis_url is not None and not _is_installed("redis"):
            yield (
                Variables.REDIS_URL.name,
                "REDIS_URL needs the redis package: pip install 'mkdocs-sentifyd[redis]'",
            )
        if self.tracing and not _is_installed("opentelemetry.exporter.otlp.proto.http"):
            yield (
                _TRACING[0].name,
                f"{_TRACING[0].name} needs OpenTelemetry: pip install 'mkdocs-sentifyd[otel]', or "
                "unset it",
            )
        if self.metrics_port == self.port:
            yield (Variables.PORT.name, "METRICS_PORT is the same as PORT: choose another")

    def _identity(self, source: str, by_cookie: bool) -> Iterator[tuple[str, str]]:
        """Conflicts with identified visitors; `source` names what identifies them."""
        avatars = self.avatars.values()
        alternative = "" if self.visitor_auth is None else ", or set VISITOR_AUTH=none"
        if any(POLICIES[avatar.policy].is_shared for avatar in avatars):
            yield (
                Variables.VISITOR_AUTH.name,
                f"TOKEN_POLICY shared gives every visitor the same tokens, but {source} "
                f"distinguishes visitors: use direct or pool{alternative}",
            )
        if by_cookie and any(avatar.allow_any_origin for avatar in avatars):
            yield (
                Variables.VISITOR_AUTH.name,
                "ALLOW_ANY_ORIGIN would let every site request tokens as a visitor who is signed "
                "in: list your own origins",
            )
        if by_cookie and any(map(is_pattern, chain(*(a.allowed_origins for a in avatars)))):
            yield (
                Variables.VISITOR_AUTH.name,
                "ALLOWED_ORIGINS contains a pattern, which would let every preview request tokens "
                "as a visitor who is signed in: list origins without *",
            )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
