"""Parts of `Settings`: one avatar, and the rules that identify visitors."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import ClassVar

from edge_service.settings.policies import PolicyName
from edge_service.settings.variables import Variables

__all__ = ["AvatarSettings", "ForwardedRules", "JwtRules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtRules:
    """Which JWTs identify a visitor.

    Attributes:
        jwks_url: URL of the issuer's key set (RFC 7517). Not in the repr: it may contain a secret.
        issuer: required value of the claim `iss`.
        audience: value that the claim `aud` must contain.
        cookie: name of a cookie that is accepted as well as `Authorization: Bearer`; `None`
            accepts the header only.
    """

    jwks_url: str = field(repr=False)
    issuer: str
    audience: str
    cookie: str | None = None

    @property
    def by_cookie(self) -> bool:
        """Whether a cookie can identify the visitor, which browsers send by themselves."""
        return self.cookie is not None


@dataclass(frozen=True, slots=True)
class ForwardedRules:
    """How a trusted proxy names the visitor.

    Attributes:
        header: the request header that contains the user's name.
    """

    header: str = Variables.FORWARDED_USER_HEADER.default
    by_cookie: ClassVar[bool] = True  # proxies usually identify visitors by a session cookie


@dataclass(frozen=True, slots=True, kw_only=True)
class AvatarSettings:
    """One avatar: its key, and who may use it.

    Attributes:
        api_key: the avatar's secret key. Never part of the repr.
        allowed_origins: origins that may request tokens, as browsers send them, and patterns for
            them such as `https://*.preview.example.com`.
        name: its path segment after `/request_tokens/`; empty for the default avatar.
        allow_any_origin: every origin except `null` may request tokens.
        avatar_id: sent to Sentifyd with the key; `None` sends none.
        login_url: absolute URL of Sentifyd's login call.
        policy: how a visitor's request becomes a grant.
        login_budget: logins that may be made at Sentifyd, in the notation of `LOGIN_BUDGET`; `None`
            for any number.
    """

    api_key: str = field(repr=False)
    allowed_origins: frozenset[str]
    name: str = ""
    allow_any_origin: bool = False
    avatar_id: str | None = None
    login_url: str = Variables.SENTIFYD_BACKEND.default + Variables.SENTIFYD_LOGIN_PATH.default
    policy: PolicyName = Variables.TOKEN_POLICY.default
    login_budget: str | None = None

    @property
    def digest(self) -> str:
        """Identifies the avatar in Redis, and reveals nothing about the API key.

        It depends on everything that a grant depends on: login URL, ID, name and key.
        """
        parts = json.dumps([self.login_url, self.avatar_id, self.name]).encode("ascii")
        secret = hashlib.blake2b(self.api_key.encode("ascii")).digest()
        return hashlib.blake2b(parts, key=secret, digest_size=16).hexdigest()
