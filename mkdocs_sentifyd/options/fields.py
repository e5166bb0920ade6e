"""Option types in addition to those of MkDocs. Each error is one line that says how to fix it."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Sequence
from datetime import date
from typing import Generic, TypeVar
from urllib.parse import SplitResult, urlsplit

from mkdocs.config import config_options as c
from mkdocs.config.base import BaseConfigOption, Config, ValidationError

from mkdocs_sentifyd.components import COMPONENTS, DISPLAYS, LANGUAGES, OVERLAYS, supported_language
from mkdocs_sentifyd.options.numbers import IN_QUOTES, misread_number, texts_of
from mkdocs_sentifyd.options.validation import Mistakes

__all__ = [
    *("Address", "AvatarId", "ConsentName", "Display", "Flag", "Group", "Integrity", "Language"),
    *("LoaderUrl", "OneOf", "PublicKey", "Shortcut", "Text", "TokenEndpoint"),
    "is_one_line",
]

SomeConfig = TypeVar("SomeConfig", bound=Config)

EXAMPLE_ENDPOINT = "https://tokens.example.com/request_tokens"
# Characters that no URL may contain, although some parsers accept them.
# Browsers take `//` and `/\` for the beginning of a host.
_OWN_PATH = re.compile(r"/(?![/\\])[^\s\x00-\x1f\x7f\ud800-\udfff\\<>\"#]*")
_UNSAFE = re.compile(r"[\s\x00-\x1f\x7f\ud800-\udfff\\<>\"]")
# What YAML makes of some texts without quotes.
_OTHER_KINDS = {
    bool: "true or false",
    float: "a decimal number",
    date: "a date",
}
_MODIFIERS = ("ctrl", "alt", "shift", "meta")


class AvatarId(BaseConfigOption[str]):
    """Text or a number: old IDs consist of digits, which YAML reads as a number."""

    _file: str | None = None

    def pre_validation(self, config: Config, key_name: str) -> None:  # noqa: ARG002
        """Remember the file, which shows how a number is written."""
        self._file = config.config_file_path

    def run_validation(self, value: object) -> str:
        """Return the ID as text."""
        if value is None or value == "":
            raise ValidationError("missing: copy the avatar's ID from the Sentifyd dashboard")
        for kind, name in _OTHER_KINDS.items():
            if isinstance(value, kind):
                raise ValidationError(IN_QUOTES.format(f"it as {name}"))
        if not isinstance(value, (str, int)):
            raise ValidationError("must be text or a number, such as avtr_1234abcd")
        if isinstance(value, int):
            for text in texts_of(self._file):
                if written := misread_number(text, value):
                    raise ValidationError(IN_QUOTES.format(f"{written} as the number {value}"))
        text = str(value).strip()
        if text.upper().replace("_", "-") == "YOUR-AVATAR-ID":
            raise ValidationError(
                "is still the placeholder: copy the avatar's ID from the Sentifyd dashboard"
            )
        if not re.fullmatch(r"[!-~]{1,128}", text):
            raise ValidationError("must be at most 128 visible ASCII characters without spaces")
        return text


class TokenEndpoint(BaseConfigOption[str | None]):
    """A URL that the visitor's browser can call: absolute, or a path on the site's own host."""

    def run_validation(self, value: object) -> str | None:
        """Return the URL unchanged."""
        if value is None or (isinstance(value, str) and _OWN_PATH.fullmatch(value)):
            return value
        return _public_url(value, EXAMPLE_ENDPOINT, "or a path such as /request_tokens")

    def post_validation(self, config: Config, key_name: str) -> None:
        """Require exactly one of `token_endpoint` and `public_api_key`."""
        if not config[key_name] and not config["public_api_key"]:
            raise ValidationError(
                f"missing: write the token service's URL, such as {EXAMPLE_ENDPOINT}"
            )
        if config[key_name] and isinstance(config["public_api_key"], str):
            raise ValidationError(
                "cannot be combined with public_api_key: keep this one to keep the key off the site"
            )


class PublicKey(BaseConfigOption[str | None]):
    """An API key that every reader of the site may have."""

    def run_validation(self, value: object) -> str | None:
        """Return the key unchanged."""
        if value is None:
            return None
        if not isinstance(value, str) or not re.fullmatch(r"[!-~]{1,512}", value):
            raise ValidationError("must be at most 512 visible ASCII characters without spaces")
        return value


class LoaderUrl(BaseConfigOption[str]):
    """An absolute URL of a script."""

    def run_validation(self, value: object) -> str:
        """Return the URL unchanged."""
        return _public_url(value, COMPONENTS["bot"].loader)


class Integrity(BaseConfigOption[str | None]):
    """`sha256-…`, `sha384-…` or `sha512-…`: Subresource Integrity metadata (W3C SRI, 3.1)."""

    def run_validation(self, value: object) -> str | None:
        """Return the hashes unchanged."""
        if value is None:
            return None
        algorithm = r"sha(?:256-[A-Za-z0-9+/]{43}=|384-[A-Za-z0-9+/]{64}|512-[A-Za-z0-9+/]{86}==)"
        if not isinstance(value, str) or not re.fullmatch(rf"{algorithm}(?: {algorithm})*", value):
            raise ValidationError("must be sha256-, sha384- or sha512-, then the hash in base64")
        return value

    def post_validation(self, config: Config, key_name: str) -> None:
        """Set `crossorigin`, without which browsers block a hashed script from another origin."""
        if config[key_name] and not config["crossorigin"]:
            config["crossorigin"] = "anonymous"


class OneOf(BaseConfigOption[str]):
    """One of several words."""

    def __init__(self, *choices: str, default: str | None = None) -> None:
        super().__init__()
        self.choices = choices
        self.default = default

    def run_validation(self, value: object) -> str:
        """Return the word."""
        if value is None and self.default:
            return str(self.default)
        if value not in self.choices:
            raise ValidationError(f"must be one of {', '.join(self.choices)}")
        return str(value)


class Display(OneOf):
    """A display mode of the avatar."""

    def __init__(self) -> None:
        super().__init__(*DISPLAYS)

    def post_validation(self, config: Config, key_name: str) -> None:
        """Reject modes that only the realtime component supports."""
        if config[key_name] in OVERLAYS and config["component"] in (None, "bot"):
            raise ValidationError(f"{config[key_name]} is for component: realtime only")


class Flag(BaseConfigOption[bool]):
    """True or false."""

    def __init__(self, *, default: bool | None = None) -> None:
        super().__init__()
        self.default = default

    def run_validation(self, value: object) -> bool:
        """Return the value."""
        if not isinstance(value, bool):
            raise ValidationError("must be true or false, without quotes")
        return value


class Group(c.SubConfig[SomeConfig], Generic[SomeConfig]):
    """A group of options below an option; an empty group is like a missing one.

    Attributes:
        doubts: warnings of the last validation, each with the option's path below this one.
    """

    doubts: Sequence[tuple[str, str]] = ()

    def run_validation(self, value: object) -> SomeConfig:
        """Return the options."""
        self.doubts = ()
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise ValidationError(
                "must be a mapping: write each of its options on its own line below it"
            )
        config = self.config_class(config_file_path=self._config_file_path)
        config.load_dict(value)
        errors, self.doubts = config.validate()
        if errors:
            raise Mistakes([(name, str(error)) for name, error in errors])
        return config


class Language(BaseConfigOption[str]):
    """A language that the component supports, or `auto`."""

    def __init__(self) -> None:
        super().__init__()
        self.default = "auto"

    def run_validation(self, value: object) -> str:
        """Return `auto`, or the component's code for the language."""
        if value in (None, "auto"):
            return "auto"
        code = supported_language(value) if isinstance(value, str) else None
        if code is None:
            quotes = "; quote it, or YAML reads a boolean" if isinstance(value, bool) else ""
            raise ValidationError(f"must be auto or one of {', '.join(LANGUAGES)}{quotes}")
        return code


class ConsentName(BaseConfigOption[str | None]):
    """The name of a cookie in Material's consent form."""

    def run_validation(self, value: object) -> str | None:
        """Return the name."""
        if value is None:
            return None
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", value):
            raise ValidationError(
                "must be a name of Latin letters, digits, - and _, such as sentifyd"
            )
        return value


class Shortcut(BaseConfigOption[str | None]):
    """Keys to press together, with `+` between them."""

    def run_validation(self, value: object) -> str | None:
        """Return what the runtime compares: 1 or 0 for ctrl, alt, shift and meta, then the key.

        `ctrl+alt+a` becomes `1,1,0,0,a`.
        """
        if value is None:
            return None
        *modifiers, key = value.lower().split("+") if isinstance(value, str) else [""]
        if not re.fullmatch("[a-z0-9]", key) or not set(modifiers) <= set(_MODIFIERS):
            raise ValidationError(
                f"must be a letter or digit after {', '.join(_MODIFIERS)}, as in ctrl+alt+a"
            )
        # WCAG 2.2, success criterion 2.1.4: typing text must not trigger a shortcut.
        if not {"ctrl", "alt", "meta"} & set(modifiers):
            raise ValidationError("needs ctrl, alt or meta: otherwise typing text would trigger it")
        return ",".join([*(str(int(name in modifiers)) for name in _MODIFIERS), key])


class Text(BaseConfigOption[str]):
    """A line of text."""

    def run_validation(self, value: object) -> str:
        """Return the text without surrounding spaces."""
        if not isinstance(value, str) or not (text := value.strip()) or not is_one_line(text):
            raise ValidationError("must be one line of text, without control characters")
        return text


class Address(BaseConfigOption[str]):
    """An absolute URL, or a path from the root of the site."""

    def run_validation(self, value: object) -> str:
        """Return the address unchanged."""
        example = "https://www.example.com/legal or, from the root of the site, legal/terms/"
        if not isinstance(value, str) or not value or _UNSAFE.search(value):
            raise ValidationError(f"must be an address, such as {example}")
        if value.startswith("//") or re.match("[a-zA-Z][a-zA-Z0-9+.-]*:", value):
            return _public_url(value, example, fragment=True)
        path = value.partition("#")[0].partition("?")[0]
        if path.endswith(".md"):
            raise ValidationError("must be the page's address on the site, not its source file")
        if ".." in path.split("/"):
            raise ValidationError("must not leave the site: write the path from the site's root")
        return value


def is_one_line(text: str) -> bool:
    """Whether a text has no line breaks, control characters or surrogates."""
    return not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text)


def _public_url(value: object, example: str, other: str = "", *, fragment: bool = False) -> str:
    wanted = ", ".join(filter(None, [f"must be an absolute URL, such as {example}", other]))
    if not isinstance(value, str):
        raise ValidationError(wanted)
    url = _split(value, example, wanted)
    if url.username is not None or url.password is not None:
        raise ValidationError(
            "must not contain credentials: every reader of the site would get them"
        )
    if "#" in value and not fragment:
        raise ValidationError("must not have a fragment: remove everything from the # on")
    if url.scheme == "http" and not _is_loopback(url.hostname or ""):
        raise ValidationError("must be https: http is only for a loopback host such as localhost")
    return value


def _split(value: str, example: str, wanted: str) -> SplitResult:
    try:
        url = urlsplit(value)
        _ = url.port
    except ValueError:
        raise ValidationError(f"is malformed: check host and port, as in {example}") from None
    # urlsplit removes tabs and line breaks, so it may see another URL than the browser.
    if url.scheme not in ("http", "https") or not url.hostname or _UNSAFE.search(value):
        raise ValidationError(wanted)
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
