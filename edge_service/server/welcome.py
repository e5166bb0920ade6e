"""The text that `serve` prints at a terminal once it listens, with lines for mkdocs.yml."""

from __future__ import annotations

import importlib.metadata
import ipaddress
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit

from edge_service.settings import AvatarSettings, Settings
from edge_service.settings.origin_patterns import is_pattern
from edge_service.settings.policies import POLICIES
from edge_service.settings.urls import is_loopback

__all__ = ["welcome"]

SHOWN = 5
_PLAIN_ID = re.compile(r"avtr_[A-Za-z0-9_-]+")


def welcome(
    settings: Settings, port: int, advice: Iterable[str] = ()
) -> tuple[list[str], list[str]]:
    """What to print: text with URLs, origins, policies and notes; then lines for mkdocs.yml.

    Args:
        settings: of the service.
        port: the port that it listens on.
        advice: further notes.
    """
    # The one without a name first.
    avatars = sorted(settings.avatars.items(), key=lambda avatar: avatar[0] != "")
    base = f"http://{_reachable(settings.host)}:{port}"
    lines = [f"sentifyd-edge {importlib.metadata.version('mkdocs-sentifyd')}, a token service for "
             "Sentifyd avatars. Stop with Ctrl-C.", ""]  # fmt: skip
    for name, avatar in avatars[:SHOWN]:
        origins = "any site" if avatar.allow_any_origin else _some(sorted(avatar.allowed_origins))
        lines += [
            f"  {base}{_path(name)}",
            f"    for pages of {origins}",
            f"    policy {avatar.policy}: {POLICIES[avatar.policy].summary}",
        ]
    lines += [*_and_more(avatars), "", "Notes:"]
    lines += [f"  - {line}" for line in (*_notes(settings), *advice)]
    lines += ["", "Add to mkdocs.yml, under plugins:", ""]
    # The default avatar of AVATARS_FILE has two URLs, but needs only one entry.
    entries: list[str] = []
    single = list({id(avatar): (name, avatar) for name, avatar in reversed(avatars)}.values())
    for name, avatar in single[::-1][:SHOWN]:
        entries += _entry(avatar, _public(settings.host, base) + _path(name))
    return lines, [*entries, *_and_more(single), ""]


def _notes(settings: Settings) -> Iterator[str]:
    avatars = settings.avatars.values()
    if any(avatar.allow_any_origin for avatar in avatars):
        yield "Every site may use an avatar, because of ALLOW_ANY_ORIGIN: list your own origins."
    if any(is_pattern(origin) for avatar in avatars for origin in avatar.allowed_origins):
        yield (
            "A pattern in ALLOWED_ORIGINS lets previews use an avatar. The preview of a fork runs "
            "code of strangers: give previews an avatar of their own."
        )
    if any(_sandbox(avatar) for avatar in avatars):
        yield (
            "Logins go to this machine: their tokens work with the sandbox's component, not with "
            "Sentifyd's."
        )
    if is_loopback(settings.host):
        yield (
            f"The service listens on {settings.host}: only this machine can reach it. Set "
            "HOST=0.0.0.0 to open it to others."
        )
    if not settings.trusted_proxies:
        yield (
            "TRUSTED_PROXIES is not set: behind a proxy, all visitors would share one rate limit."
        )
    yield (
        "The service speaks plain HTTP: for a public site, put a TLS proxy in front of it, and use "
        "the proxy's https URL as token_endpoint."
    )


def _entry(avatar: AvatarSettings, endpoint: str) -> list[str]:
    """One avatar in mkdocs.yml."""
    sandbox = _sandbox(avatar)
    if avatar.avatar_id is None and sandbox:
        avatar_id = "avtr_sandbox  # the sandbox accepts any ID"
    elif avatar.avatar_id is None:
        avatar_id = "avtr_...  # your avatar's ID, from the Sentifyd dashboard"
    else:
        plain = _PLAIN_ID.fullmatch(avatar.avatar_id)
        avatar_id = avatar.avatar_id if plain else json.dumps(avatar.avatar_id)
    lines = ["  - sentifyd:", f"      avatar_id: {avatar_id}", f"      token_endpoint: {endpoint}"]
    if sandbox:
        lines += ["      loader:", f"        url: {sandbox}/sentifyd-bot/main.js"]
    return lines


def _sandbox(avatar: AvatarSettings) -> str | None:
    """The base URL of a login server on this machine, or `None`."""
    url = urlsplit(avatar.login_url)
    return f"{url.scheme}://{url.netloc}" if is_loopback(url.hostname or "") else None


def _path(name: str) -> str:
    return f"/request_tokens/{name}" if name else "/request_tokens"


def _reachable(host: str) -> str:
    """The host in a URL for a browser on this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return f"[{address}]" if address.version == 6 else host


def _public(host: str, base: str) -> str:
    return base if is_loopback(host) else "https://tokens.example.com"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + "".join(f" and {more}" for more in _more(names))


def _and_more(things: Sequence[object]) -> list[str]:
    return [f"  ... and {more}" for more in _more(things)]


def _more(things: Sequence[object]) -> list[str]:
    return [f"{len(things) - SHOWN} more"] if len(things) > SHOWN else []
