"""What a check can find: one table of codes, what each means, and how to fix it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

__all__ = ["KINDS", "Finding", "Kind", "Severity", "finding"]


class Severity(StrEnum):
    """Whether a site can be published like that."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to fix.

    Attributes:
        code: stable name of the kind.
        where: path below the site's folder, an address, or an option.
        what: what is wrong, without any secret.
        cure: how to fix it.
        severity: an error fails the check.
    """

    code: str
    where: str
    what: str
    cure: str
    severity: Severity = Severity.ERROR


class Kind(NamedTuple):
    """A row of the table; `{name}` in a text stands for a value.

    Attributes:
        what: what is wrong.
        cure: how to fix it.
        severity: an error fails the check.
        code: the stable name, where it is not the row's key because two rows share it.
    """

    what: str
    cure: str
    severity: Severity = Severity.ERROR
    code: str | None = None


_REBUILD = "build the site again, or run `mkdocs-sentifyd inject` on a fresh build of it"
_MAYBE_MEANT_CURE = f"{_REBUILD}, unless the page's author wants it so"

KINDS = {
    # The site
    "page-unreadable": Kind(
        "holds markup that the parser of this check cannot read",
        "look for a `<![` that begins no CDATA section",
        Severity.WARNING,
    ),
    "front-matter": Kind(
        "has front matter that cannot be used: {problem}", "correct the front matter of its source"
    ),
    "unused": Kind(
        "has settings for pages that do not exist: {problem}",
        "correct the pattern or the page, or take it out",
        Severity.WARNING,
    ),
    "no-avatar": Kind(
        "no page of the site is to have an avatar",
        "check include and exclude: together they leave no page",
    ),
    "key-in-site": Kind(
        "holds the API key, and every reader gets it",
        "take it out of the sources, build again, and have Sentifyd replace the key",
    ),
    "public-key": Kind(
        "public_api_key gives every reader of the site a key",
        "run a token service, and use token_endpoint in its place",
        Severity.WARNING,
    ),
    "key-like": Kind(
        "names an API key of Sentifyd, with a value that looks like a real one",
        "write a placeholder such as YOUR-API-KEY; if it is real, have it replaced",
    ),
    # A page
    "unexpected-avatar": Kind(
        "has {part}, although the configuration keeps avatars off this page",
        f"{_REBUILD}; or change exclude or the page's front matter",
    ),
    "element-missing": Kind("has no element of an avatar", _REBUILD),
    "element-repeated": Kind("has the element {count} times", "keep one <{element}>"),
    "element-beside-runtime": Kind(
        "has a <{element}> beside the one that the browser runtime makes",
        "keep one in the page's source, for the plugin to put in its place",
        code="element-repeated",
    ),
    "other-component": Kind(
        "has a <{element}> of the other component beside what {component} needs",
        "keep one component on a page: take the tag out, or set the option component",
    ),
    "attribute-repeated": Kind(
        "its <{element}> has {attribute} more than once, and a browser ignores the second",
        "keep one of them",
    ),
    "attribute-missing": Kind("its <{element}> has no {attribute}", _REBUILD),
    "attribute-differs": Kind(
        "its <{element}> has another {attribute} than the configuration",
        _MAYBE_MEANT_CURE,
        Severity.WARNING,
    ),
    "address-broken": Kind(
        "its {attribute} leads to nothing in the site",
        "write the path from the root of the site, as readers see it",
    ),
    "key-on-element": Kind(
        "its <{element}> carries what looks like the API key",
        "take it out, and give the key to the token service as AVATAR_API_KEY",
    ),
    "loader-missing": Kind("has no loader of an avatar", _REBUILD),
    "loader-repeated": Kind(
        "has the loader {count} times", "keep one script tag, or leave it to the plugin"
    ),
    "loader-differs": Kind(
        "its loader has another {attribute} than the configuration",
        _MAYBE_MEANT_CURE,
        Severity.WARNING,
    ),
    "loader-insecure": Kind(
        "fetches its loader over http, so that anyone on the way can change it", "write https"
    ),
    "loader-early": Kind(
        "fetches {url} at once, without waiting for consent or a visitor",
        "take the script tag out: the browser runtime loads it in time",
    ),
    # The browser runtime
    "settings-missing": Kind("has no settings for the browser runtime", _REBUILD),
    "settings-repeated": Kind("has the settings for the browser runtime {count} times", _REBUILD),
    "settings-differ": Kind(
        "gives the browser runtime another {setting} than the configuration", _REBUILD
    ),
    "runtime-missing": Kind("has no browser runtime", _REBUILD),
    "runtime-repeated": Kind("has the browser runtime {count} times", _REBUILD),
    "runtime-file-missing": Kind(
        "its {url} leads to nothing in the site", _REBUILD, code="runtime-missing"
    ),
    # The token endpoint
    "endpoint-unreachable": Kind(
        "cannot be reached ({error})",
        "check that the service runs, that the name resolves, and that its certificate is valid",
    ),
    "endpoint-timeout": Kind(
        "does not answer in time", "check that the service runs", code="endpoint-unreachable"
    ),
    "endpoint-preflight": Kind(
        "answers the browser's preflight with {status}",
        "have it answer OPTIONS for the site's origin, without asking for credentials",
    ),
    "endpoint-cors": Kind(
        "does not let {origin} read its answer to {call}",
        "add this origin to ALLOWED_ORIGINS of the token service",
    ),
    "endpoint-key": Kind(
        "answers {call} with the API key itself",
        "take it offline at once, and have Sentifyd replace the key",
    ),
    "endpoint-status-401": Kind(
        "answers {call} with 401",
        "sign in first: it answers known visitors only, whom this check cannot be",
        code="endpoint-status",
    ),
    "endpoint-status-403": Kind(
        "answers {call} with 403",
        "add the site's origin to ALLOWED_ORIGINS of the token service",
        code="endpoint-status",
    ),
    "endpoint-status-404": Kind(
        "answers {call} with 404",
        "correct the path in token_endpoint: that of this project's service is /request_tokens, "
        "without a slash at its end",
        code="endpoint-status",
    ),
    "endpoint-status-405": Kind(
        "answers {call} with 405", "have it answer GET", code="endpoint-status"
    ),
    "endpoint-status-429": Kind(
        "answers {call} with 429",
        "wait, or raise its rate limit for the address that this check comes from",
        code="endpoint-status",
    ),
    "endpoint-status": Kind("answers {call} with {status}", "see the log of the token service"),
    "endpoint-cacheable": Kind(
        "lets caches keep the tokens of {call}", "have it send Cache-Control: no-store"
    ),
    "endpoint-vary": Kind(
        "does not say that its answer to {call} depends on the origin",
        "have it send Vary: Origin",
        Severity.WARNING,
    ),
    "endpoint-payload": Kind(
        "answers {call} with something else than tokens: {problem}",
        'have it answer {{"tokens": {{"accessToken", "refreshToken"}}, "avatarParameters"}}',
    ),
    "endpoint-foreign-origin": Kind(
        "lets {caller} read its answer, so that any site can use the avatar",
        "name the site's origins exactly in ALLOWED_ORIGINS, without *",
    ),
    "endpoint-foreign-login": Kind(
        "answers {caller} with {status}: a browser hides it, but a login is spent",
        "refuse origins before asking Sentifyd for tokens",
        Severity.WARNING,
    ),
}


def finding(
    key: str,
    where: str,
    *,
    code: str | None = None,
    severity: Severity | None = None,
    **values: object,
) -> Finding:
    """A finding of a kind.

    Args:
        key: of the row in `KINDS`.
        where: path below the site's folder, an address, or an option.
        code: where it is another than the row's.
        severity: where it is another than the row's.
        values: what the texts of the row name.
    """
    kind = KINDS[key]
    return Finding(
        code or kind.code or key,
        where,
        kind.what.format_map(values),
        kind.cure.format_map(values),
        severity or kind.severity,
    )
