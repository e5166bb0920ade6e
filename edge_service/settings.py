"""The environment becomes one frozen `Settings`, or is refused with a line for each mistake."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from edge_service import variables

__all__ = ["Settings", "SettingsError"]

T = TypeVar("T")

DEFAULT_BACKEND = "https://backend.sentifyd.io"
DEFAULT_LOGIN_PATH = "/api/login"
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")

# Refused rather than ignored: a guard that somebody switched on must never be silently off.
_NOT_YET = {
    "AVATARS_FILE": "several avatars",
    "TOKEN_POOL_SIZE": "a token pool",
    "RATE_LIMIT": "rate limits",
    "REDIS_URL": "shared state in Redis",
    "TRUSTED_PROXIES": "trusted proxies",
    "VISITOR_AUTH": "visitor authentication",
    "JWT_JWKS_URL": "visitor authentication",
    "JWT_ISSUER": "visitor authentication",
    "JWT_AUDIENCE": "visitor authentication",
    "JWT_COOKIE": "visitor authentication",
    "FORWARDED_USER_HEADER": "visitor authentication",
    "SEAL_KEYS": "sealed refresh handles",
    "SEAL_KEYS_FILE": "sealed refresh handles",
    "METRICS_PORT": "metrics",
}
_OFF_VALUES = {"VISITOR_AUTH": "none"}


class SettingsError(ValueError):
    """The environment cannot be used.

    Attributes:
        problems: one line for each mistake; each names its variable and the cure, none a value.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the token service needs to know; `from_env` is the way to make one.

    Attributes:
        api_key: the avatar's secret key. Never part of the repr.
        avatar_id: sent upstream beside the key when not `None`.
        login_url: absolute URL of Sentifyd's login call.
        allowed_origins: origins that may ask for tokens, as browsers send them.
        allow_any_origin: every origin but `null` may ask.
        require_origin: refuse callers that send neither `Origin` nor `Sec-Fetch-Site`.
        token_policy: `direct`, one upstream login a request.
        upstream_timeout: seconds for one whole exchange with Sentifyd.
        upstream_concurrency: logins that may be under way at once.
        host: address to listen on.
        port: TCP port to listen on.
        log_level: `debug`, `info`, `warning`, `error` or `critical`.
        log_format: `json`, or `console` for people.
    """

    api_key: str = field(repr=False)
    allowed_origins: frozenset[str]
    avatar_id: str | None = None
    login_url: str = DEFAULT_BACKEND + DEFAULT_LOGIN_PATH
    allow_any_origin: bool = False
    require_origin: bool = False
    token_policy: str = "direct"  # noqa: S105 - the name of a policy
    upstream_timeout: float = 5.0
    upstream_concurrency: int = 32
    host: str = "127.0.0.1"
    port: int = 8080
    log_level: str = "info"
    log_format: str = "json"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from environment variables.

        Args:
            environ: the variables; the process environment when not given.

        Raises:
            SettingsError: a variable is missing, malformed or left at a placeholder.
        """
        env = _Environment(os.environ if environ is None else environ)
        env.refuse_what_is_not_there_yet()
        api_key = env.read_secret("AVATAR_API_KEY", variables.api_key)
        allow_any = env.read("ALLOW_ANY_ORIGIN", variables.boolean) or False
        origins = env.read(
            "ALLOWED_ORIGINS",
            lambda value: variables.origins(value, allow_any=allow_any),
            missing="list the origins of your site, such as https://docs.example.com",
        )
        backend = env.read("SENTIFYD_BACKEND", variables.backend) or DEFAULT_BACKEND
        login_path = env.read("SENTIFYD_LOGIN_PATH", variables.login_path) or DEFAULT_LOGIN_PATH
        optional = {
            "avatar_id": env.read("AVATAR_ID", variables.avatar_id),
            "require_origin": env.read("REQUIRE_ORIGIN", variables.boolean),
            "token_policy": env.read("TOKEN_POLICY", variables.token_policy),
            "upstream_timeout": env.read("UPSTREAM_TIMEOUT", variables.number(0.1, 60)),
            "upstream_concurrency": env.read("UPSTREAM_CONCURRENCY", variables.integer(1, 1024)),
            "host": env.read("HOST", variables.host),
            "port": env.read("PORT", variables.integer(0, 65535)),
            "log_level": env.read("LOG_LEVEL", variables.choice(*LOG_LEVELS)),
            "log_format": env.read("LOG_FORMAT", variables.choice("json", "console")),
        }
        if env.problems or api_key is None or origins is None:
            raise SettingsError(env.problems)
        return cls(
            api_key=api_key,
            allowed_origins=origins - {"*"},
            allow_any_origin="*" in origins,
            login_url=f"{backend}{login_path}",
            **{name: value for name, value in optional.items() if value is not None},  # type: ignore[arg-type]
        )


class _Environment:
    """Reads variables and gathers every problem, so that an operator sees all of them at once."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def refuse_what_is_not_there_yet(self) -> None:
        for name, feature in _NOT_YET.items():
            if self._environ.get(name, _OFF_VALUES.get(name)) != _OFF_VALUES.get(name):
                self.problems.append(
                    f"{name} is set, but this version has no {feature}: unset the variable, "
                    "or install a version that has it"
                )

    def read(self, name: str, parse: Callable[[str], T], *, missing: str = "") -> T | None:
        """Parse a variable; `missing` says how to mend its absence, and makes it required."""
        value = self._environ.get(name)
        if value is not None:
            return self._parse(name, value, parse)
        if missing:
            self.problems.append(f"{name} is not set: {missing}")
        return None

    def read_secret(self, name: str, parse: Callable[[str], T]) -> T | None:
        """Parse a required secret: the variable itself, or the file that NAME_FILE names."""
        file_name = f"{name}_FILE"
        value, path = self._environ.get(name), self._environ.get(file_name)
        if value is not None and path is not None:
            self.problems.append(f"{name} and {file_name} are both set: keep one of them")
        elif value is not None:
            return self._parse(name, value, parse)
        elif path is not None:
            # The path stays unsaid: people put the secret itself there by mistake.
            try:
                text = Path(path).read_text(encoding="utf-8")
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
                self.problems.append(f"{file_name}: the file it names cannot be read ({reason})")
            else:
                return self._parse(file_name, text.rstrip("\r\n"), parse)
        else:
            self.problems.append(
                f"{name} is not set: put the avatar's API key there, or the path of a file that "
                f"holds it into {file_name}"
            )
        return None

    def _parse(self, name: str, value: str, parse: Callable[[str], T]) -> T | None:
        if not value.strip():
            self.problems.append(f"{name} is empty: give it a value or unset it")
            return None
        try:
            return parse(value)
        except ValueError as error:
            self.problems.append(f"{name} {error}")
            return None
