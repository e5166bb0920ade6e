"""Add the avatar to the cookie consent form of Material for MkDocs."""

from __future__ import annotations

from mkdocs.config.defaults import MkDocsConfig

__all__ = ["register_consent"]

# Material's default for `extra.consent.actions`.
_ACTIONS = ("accept", "manage")
_COOKIE = {"name": "Sentifyd avatar", "checked": False}


def register_consent(config: MkDocsConfig, name: str) -> str | None:
    """Add a cookie to Material's consent form, unless the author has added it.

    Args:
        config: the site's configuration; this changes its `extra.consent.cookies`.
        name: name of the cookie.

    Returns:
        A hint for the author if visitors may not find where to agree, or `None`.

    Source: Material for MkDocs, "Ensuring data privacy", section "Cookie consent".
    """
    consent = config.extra.get("consent")
    if not isinstance(consent, dict):
        return (
            "consent: this site has no consent form (extra.consent of Material), so the avatar "
            f"waits until a script dispatches the event sentifyd:consent with {{{name}: true}}. "
            "Write that script, or set load to interaction to ask at the launcher"
        )
    cookies = consent.get("cookies")
    if not isinstance(cookies, dict):
        cookies = consent["cookies"] = {}
    # An unticked box is not consent, so the box must not be ticked in advance.
    is_ours = cookies.setdefault(name, _COOKIE) is _COOKIE
    if is_ours and "manage" in (consent.get("actions") or _ACTIONS):
        return (
            "consent: Accept agrees only to ticked boxes, and the avatar's box is hidden "
            "behind Manage settings: set extra.consent.actions to [accept, reject] to show it, "
            "or load to interaction to ask at the launcher"
        )
    return None
