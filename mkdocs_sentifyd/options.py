"""Option types: what MkDocs' own do not check, each mistake told in one line with its cure."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import SplitResult, urlsplit

from mkdocs.config import config_options as c
from mkdocs.config.base import BaseConfigOption, Config, ValidationError

if TYPE_CHECKING:
    from pathspec.gitignore import GitIgnoreSpec

__all__ = ["AvatarId", "Flag", "Group", "Integrity", "LoaderUrl", "Patterns", "TokenEndpoint"]

SomeConfig = TypeVar("SomeConfig", bound=Config)

DOCUMENTED_LOADER = "https://frontend.sentifyd.io/sentifyd-bot/main.js"
KEY_ON_THE_SITE = ValidationError(
    "this looks like the API key, and every reader of the site would get it: take it out of "
    "mkdocs.yml, and give it to the token service as AVATAR_API_KEY"
)


class AvatarId(BaseConfigOption[str]):
    """An opaque ID; old ones are numbers, which YAML reads as such."""

    def run_validation(self, value: object) -> str:
        """Return the ID as text."""
        if value is None or value == "":
            raise ValidationError("missing: copy the avatar's ID from the Sentifyd dashboard")
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise ValidationError("must be text or a number, such as avtr_1234abcd")
        text = str(value).strip()
        if text.upper().replace("_", "-") == "YOUR-AVATAR-ID":
            raise ValidationError(
                "still holds the placeholder: copy the avatar's ID from the Sentifyd dashboard"
            )
        if not re.fullmatch(r"[!-~]{1,128}", text):
            raise ValidationError("must be at most 128 visible ASCII characters without spaces")
        return text


class TokenEndpoint(BaseConfigOption[str]):
    """An absolute URL that the visitor's browser can call."""

    def run_validation(self, value: object) -> str:
        """Return the URL as written."""
        if value is None or value == "":
            raise ValidationError(
                "missing: write the token service's URL, such as "
                "https://tokens.example.com/request_tokens"
            )
        return _public_url(value, "https://tokens.example.com/request_tokens")


class LoaderUrl(BaseConfigOption[str]):
    """An absolute URL of a script."""

    def __init__(self) -> None:
        super().__init__()
        self.default = DOCUMENTED_LOADER

    def run_validation(self, value: object) -> str:
        """Return the URL as written."""
        return _public_url(value, DOCUMENTED_LOADER)


class Integrity(BaseConfigOption[str | None]):
    """Subresource Integrity metadata (W3C SRI, section 3.1)."""

    def run_validation(self, value: object) -> str | None:
        """Return the hashes as written."""
        if value is None:
            return None
        algorithm = r"sha(?:256-[A-Za-z0-9+/]{43}=|384-[A-Za-z0-9+/]{64}|512-[A-Za-z0-9+/]{86}==)"
        if not isinstance(value, str) or not re.fullmatch(rf"{algorithm}(?: {algorithm})*", value):
            raise ValidationError("must be sha256-, sha384- or sha512- and the hash in base64")
        return value

    def post_validation(self, config: Config, key_name: str) -> None:
        """Ask for the CORS mode without which no browser checks a hash across origins."""
        if config[key_name] and not config["crossorigin"]:
            config["crossorigin"] = "anonymous"


class Flag(BaseConfigOption[bool]):
    """On or off."""

    def __init__(self, *, default: bool) -> None:
        super().__init__()
        self.default = default

    def run_validation(self, value: object) -> bool:
        """Return the value."""
        if not isinstance(value, bool):
            raise ValidationError("must be true or false, without quotes")
        return value


class Group(c.SubConfig[SomeConfig], Generic[SomeConfig]):
    """Options below an option; without any of them it is as if it were not there."""

    def run_validation(self, value: object) -> SomeConfig:
        """Return the options."""
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise ValidationError(
                "must be a mapping: write each of its options on a line of its own below it"
            )
        return super().run_validation(value)


class Patterns(BaseConfigOption["GitIgnoreSpec | None"]):
    """Gitignore-style patterns, as a list or as the multi-line string that `exclude_docs` takes."""

    def run_validation(self, value: object) -> GitIgnoreSpec | None:
        """Return the compiled patterns."""
        if value is None:
            return None
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            value = "\n".join(value)
        if not isinstance(value, str):
            raise ValidationError("must be a list of patterns, or a string with one on each line")
        spec: GitIgnoreSpec = c.PathSpec().validate(value)
        return spec


def _public_url(value: object, example: str) -> str:
    if not isinstance(value, str):
        raise ValidationError(f"must be an absolute URL, such as {example}")
    url = _split(value, example)
    if url.username is not None or url.password is not None:
        raise ValidationError("must not carry credentials: every reader of the site would get them")
    if "#" in value:
        raise ValidationError("must not have a fragment: take away everything from the # on")
    if url.scheme == "http" and not _is_loopback(url.hostname or ""):
        raise ValidationError("must be https: http is for a loopback host such as localhost only")
    return value


def _split(value: str, example: str) -> SplitResult:
    try:
        url = urlsplit(value)
        _ = url.port
    except ValueError:
        raise ValidationError(f"is malformed: check host and port, as in {example}") from None
    # urlsplit drops tabs and line breaks, and a browser would not agree on what is left.
    if url.scheme not in ("http", "https") or not url.hostname or re.search(r"[\s\\<>\"]", value):
        raise ValidationError(f"must be an absolute URL, such as {example}")
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
