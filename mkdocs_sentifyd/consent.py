"""Material's cookie consent: the form in which readers agree to the avatar."""

from __future__ import annotations

from mkdocs.config.defaults import MkDocsConfig

__all__ = ["register_consent"]


def register_consent(config: MkDocsConfig, name: str) -> str | None:
    """Add a cookie to Material's consent form, unless the author has done so.

    Args:
        config: the site's; its `extra.consent.cookies` is changed.
        name: of the cookie.

    Returns:
        What the author should know, if the theme shows no form.

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
    # Nothing that nobody chose counts as agreement.
    cookies.setdefault(name, {"name": "Sentifyd avatar", "checked": False})
    return None
