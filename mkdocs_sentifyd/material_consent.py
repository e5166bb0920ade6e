"""Material's cookie consent: the form in which readers agree to the avatar."""

from __future__ import annotations

from mkdocs.config.defaults import MkDocsConfig

__all__ = ["register_consent"]

# Material's own default.
_ACTIONS = ("accept", "manage")
_COOKIE = {"name": "Sentifyd avatar", "checked": False}


def register_consent(config: MkDocsConfig, name: str) -> str | None:
    """Add a cookie to Material's consent form, unless the author has done so.

    Args:
        config: the site's; its `extra.consent.cookies` is changed.
        name: of the cookie.

    Returns:
        What the author should know, if visitors may not find where to agree.

    Source: Material for MkDocs, "Ensuring data privacy", section "Cookie consent".
    """
    consent = config.extra.get("consent")
    if not isinstance(consent, dict):
        return (
            "consent: this site shows no consent form (extra.consent of Material), so the avatar "
            f"waits until a script dispatches the event sentifyd:consent with {{{name}: true}}"
        )
    cookies = consent.get("cookies")
    if not isinstance(cookies, dict):
        cookies = consent["cookies"] = {}
    # Nothing that nobody ticked counts as agreement.
    is_ours = cookies.setdefault(name, _COOKIE) is _COOKIE
    if is_ours and "manage" in (consent.get("actions") or _ACTIONS):
        return (
            "consent: Accept agrees to the boxes that are ticked, and the avatar's is folded away "
            "behind Manage settings: set extra.consent.actions to [accept, reject] to have it in "
            "sight"
        )
    return None
