"""Find where visitors can give their consent, and add the avatar to Material's consent form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig

__all__ = ["missing_consent", "register_consent"]

# Material's default for `extra.consent.actions`.
_ACTIONS = ("accept", "manage")
_COOKIE = {"name": "Sentifyd avatar", "checked": False}
# MkDocs' own themes, which have no consent form.
_THEMES_WITHOUT_FORM = ("mkdocs", "readthedocs")
# The event by which a script reports a consent.
_EVENT = b"sentifyd:consent"
_MAY_HAVE_SCRIPTS = (".html", ".js", ".md", ".mjs", ".py")


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
        return None
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


def missing_consent(config: MkDocsConfig, name: str) -> str | None:
    """Return a warning if visitors cannot give their consent anywhere, or `None`.

    Args:
        config: the site's configuration.
        name: name of the consent.
    """
    has_form = isinstance(config.extra.get("consent"), dict)
    if has_form and config.theme.name not in _THEMES_WITHOUT_FORM:
        return None
    scripts = [str(getattr(script, "path", script)) for script in config.extra_javascript]
    # A script from elsewhere may be a consent manager.
    if any("//" in script for script in scripts) or any(map(_reports_consent, _files(config))):
        return None
    return (
        f"consent: visitors cannot agree to '{name}', so the avatar never loads: set load: "
        "interaction to ask at the launcher, add Material's form (extra.consent), or write a "
        f"script that dispatches sentifyd:consent with {{{name}: true}}"
    )


def _files(config: MkDocsConfig) -> Iterator[Path]:
    """Yield what may have scripts: the sources, the site's own theme, and the hooks."""
    for folder in (config.docs_dir, config.theme.custom_dir):
        yield from Path(folder).rglob("*") if folder else ()
    yield from (Path(str(hook.__file__)) for hook in config["hooks"].values())


def _reports_consent(file: Path) -> bool:
    try:
        return file.suffix in _MAY_HAVE_SCRIPTS and _EVENT in file.read_bytes()
    except OSError:
        return False
