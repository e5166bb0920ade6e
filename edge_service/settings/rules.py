"""The parts of `Settings` that are rules of their own: one avatar, and how visitors identify."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from edge_service.settings.policies import PolicyName
from edge_service.settings.variables import Variables

__all__ = ["AvatarSettings", "ForwardedRules", "JwtRules"]


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
        """Whether a browser may identify its visitor by a cookie, whatever the page does."""
        return self.cookie is not None


@dataclass(frozen=True, slots=True)
class ForwardedRules:
    """How a trusted proxy names the visitor.

    Attributes:
        header: the header that holds the user.
    """

    header: str = Variables.FORWARDED_USER_HEADER.default
    by_cookie: ClassVar[bool] = True  # the proxy usually identifies its visitors by one


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
    policy: PolicyName = Variables.TOKEN_POLICY.default
