"""Decides by `Origin` and `Sec-Fetch-Site` which pages may request tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.types import Scope

from edge_service.admission.headers import header_values
from edge_service.settings import AvatarSettings
from edge_service.settings.origin_patterns import OriginPattern, is_pattern

__all__ = ["OriginPolicy"]

_PRINTABLE = re.compile(rb"[!-~]{1,512}")
_FOREIGN_SITES = frozenset({b"cross-site", b"same-site"})


@dataclass(frozen=True, slots=True)
class OriginPolicy:
    """Which pages may request tokens.

    Attributes:
        allowed: origins, compared byte for byte (RFC 6454, section 6.2).
        any_origin: every origin except `null` is allowed.
        required: refuse callers that send neither `Origin` nor `Sec-Fetch-Site`.
        patterns: allow further origins.
    """

    allowed: frozenset[bytes]
    any_origin: bool = False
    required: bool = False
    patterns: tuple[OriginPattern, ...] = ()

    @classmethod
    def of(cls, avatar: AvatarSettings, *, required: bool) -> OriginPolicy:
        """The policy of one avatar.

        Raises:
            ValueError: a pattern is malformed, or could match origins of several owners.
        """
        listed = sorted(avatar.allowed_origins)
        return cls(
            frozenset(origin.encode("ascii") for origin in listed if not is_pattern(origin)),
            avatar.allow_any_origin,
            required,
            tuple(OriginPattern.parse(origin) for origin in listed if is_pattern(origin)),
        )

    @classmethod
    def union(cls, policies: Iterable[OriginPolicy]) -> OriginPolicy:
        """A policy that allows the origins of all of these."""
        every = list(policies)
        return cls(
            frozenset().union(*(policy.allowed for policy in every)),
            any(policy.any_origin for policy in every),
            # Without duplicates: many avatars may have the same pattern.
            patterns=tuple(dict.fromkeys(one for policy in every for one in policy.patterns)),
        )

    def allows(self, origin: bytes) -> bool:
        """Whether a page of this origin may request tokens."""
        if origin in self.allowed:
            return True
        if self.patterns and any(pattern.matches(origin) for pattern in self.patterns):
            return True
        # The response repeats the value in a header, so it must be printable and short.
        return self.any_origin and origin != b"null" and _PRINTABLE.fullmatch(origin) is not None

    def admits(self, scope: Scope) -> bool:
        """Whether to accept this request: its origin is allowed, or no browser sent it."""
        origins = header_values(scope, b"origin")
        if origins:
            return len(origins) == 1 and self.allows(origins[0])
        # Browsers omit Origin in some requests, but never Sec-Fetch-Site (Fetch Metadata).
        sites = header_values(scope, b"sec-fetch-site")
        if sites:
            return not _FOREIGN_SITES.intersection(sites)
        return not self.required
