"""The type itself rejects settings that contradict each other."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from starlette.types import Scope

from edge_service.admission.identity import Authenticator
from edge_service.app import create_app
from edge_service.settings import ForwardedRules, JwtRules, Settings, SettingsError
from tests.support.settings import KEY, avatar_settings, settings_for

JWT = JwtRules(jwks_url="https://login.example.com/keys", issuer="i", audience="a")
PROXIES = (ip_network("10.0.0.0/8"),)
SHARED: dict[str, Any] = {"avatars": {"": avatar_settings(policy="shared")}}
ANYWHERE: dict[str, Any] = {"avatars": {"": avatar_settings(allow_any_origin=True)}}
PREVIEWS: dict[str, Any] = {
    "avatars": {
        "": avatar_settings(),
        "preview": avatar_settings(allowed_origins=frozenset({"https://*.preview.example.com"})),
    }
}


class Known(Authenticator):
    """Identifies every visitor as the same user."""

    by_cookie = False

    async def identify(self, _: Scope) -> str:
        return "ada"


class KnownByCookie(Known):
    by_cookie = True


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({**SHARED, "visitor_auth": JWT}, "TOKEN_POLICY"),
        ({**ANYWHERE, "visitor_auth": replace(JWT, cookie="session")}, "ALLOW_ANY_ORIGIN"),
        (
            {**ANYWHERE, "visitor_auth": ForwardedRules(), "trusted_proxies": PROXIES},
            "ALLOW_ANY_ORIGIN",
        ),
        ({**PREVIEWS, "visitor_auth": replace(JWT, cookie="session")}, "ALLOWED_ORIGINS"),
        (
            {**PREVIEWS, "visitor_auth": ForwardedRules(), "trusted_proxies": PROXIES},
            "ALLOWED_ORIGINS",
        ),
        ({"visitor_auth": ForwardedRules()}, "TRUSTED_PROXIES"),
        ({"metrics_port": 8080}, "METRICS_PORT"),
        ({"trusted_proxies": (ip_network("0.0.0.0/0"),)}, "TRUSTED_PROXIES"),
        ({"trusted_proxies": tuple(map(ip_network, ("::/1", "8000::/1")))}, "TRUSTED_PROXIES"),
    ],
)
def test_contradicting_settings_are_rejected(changes: dict[str, Any], names: str) -> None:
    with pytest.raises(SettingsError, match=f"^{names} ") as caught:
        settings_for(**changes)

    assert len(caught.value.problems) == 1
    assert KEY not in str(caught.value)


def test_all_contradictions_are_reported_together() -> None:
    with pytest.raises(SettingsError) as caught:
        settings_for(**SHARED, visitor_auth=ForwardedRules(), metrics_port=8080)

    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("changes", "authenticator", "names"),
    [
        (SHARED, Known(), "TOKEN_POLICY"),
        (ANYWHERE, KnownByCookie(), "ALLOW_ANY_ORIGIN"),
        (PREVIEWS, KnownByCookie(), "ALLOWED_ORIGINS"),
        ({"visitor_auth": JWT}, Known(), "VISITOR_AUTH"),
    ],
)
def test_authenticator_that_contradicts_the_settings_is_rejected(
    changes: dict[str, Any], authenticator: Authenticator, names: str
) -> None:
    settings = settings_for(**changes)

    with pytest.raises(SettingsError, match=f"^{names} ") as caught:
        create_app(settings, authenticator=authenticator)

    # It is not set, so unsetting it would fix nothing.
    assert "VISITOR_AUTH=none" not in str(caught.value)


def test_authenticator_without_cookies_allows_any_origin() -> None:
    create_app(settings_for(**ANYWHERE), authenticator=Known())
    create_app(settings_for(**PREVIEWS), authenticator=Known())


def test_pattern_in_settings_from_code_is_checked_too() -> None:
    anyone = avatar_settings(allowed_origins=frozenset({"https://*.netlify.app"}))
    with pytest.raises(ValueError, match="other customers"):
        create_app(settings_for(avatars={"": anyone}))


def test_default_for_an_invalid_value_is_no_contradiction() -> None:
    """`PORT` falls back to 8080, which `METRICS_PORT` happens to be: only `PORT` is wrong."""
    environ = {"AVATAR_API_KEY": KEY, "ALLOWED_ORIGINS": "https://docs.example.com"}
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({**environ, "PORT": "many", "METRICS_PORT": "8080"})

    assert [problem.split()[0] for problem in caught.value.problems] == ["PORT"]
