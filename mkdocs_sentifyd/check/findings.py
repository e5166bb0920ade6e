"""Every problem that a check can find: its code, what it means, and how to fix it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from mkdocs_sentifyd.site.notes import NOTES

__all__ = ["KINDS", "Finding", "Kind", "Severity", "finding"]


class Severity(StrEnum):
    """An error fails the check; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem.

    Attributes:
        code: stable name of the kind of problem.
        where: path below the site's folder, a URL, or an option.
        what: what is wrong. It never contains a secret.
        fix: how to fix it.
        severity: an error fails the check.
    """

    code: str
    where: str
    what: str
    fix: str
    severity: Severity = Severity.ERROR


class Kind(NamedTuple):
    """A kind of problem; `{name}` in a text is replaced by a value.

    Attributes:
        what: what is wrong.
        fix: how to fix it.
        severity: an error fails the check.
        code: the stable name, if it differs from the key in `KINDS` because two kinds share it.
    """

    what: str
    fix: str
    severity: Severity = Severity.ERROR
    code: str | None = None


_REBUILD = "build the site again, or run `mkdocs-sentifyd inject` on a fresh build"
_DIFFERENCE_FIX = f"{_REBUILD}, unless the page's author intends the difference"

KINDS = {
    # The site
    "record-missing": Kind(
        "has no {file}, so the plugin did not build it", "build it, or run `mkdocs-sentifyd inject`"
    ),
    "other-configuration": Kind("was built with another configuration", _REBUILD),
    "no-avatar": Kind(
        "no page of the site should have an avatar",
        "check include and exclude: together they leave no page",
    ),
    "key-in-site": Kind(
        "contains the API key, so every reader gets it",
        "remove it from the sources, build again, and ask Sentifyd to replace the key",
    ),
    "public-key": Kind(
        "public_api_key gives every reader of the site a key",
        "run a token service, and set token_endpoint instead",
        Severity.WARNING,
    ),
    "key-like": Kind(
        "names an API key of Sentifyd, with a value that looks real",
        "write a placeholder such as YOUR-API-KEY; if the key is real, ask Sentifyd to replace it",
    ),
    # The configuration
    **{code: Kind(what, fix, Severity.WARNING) for code, (what, fix) in NOTES.items()},
    # A page
    "unexpected-avatar": Kind(
        "has {part}, although the configuration gives this page no avatar",
        f"{_REBUILD}; or change exclude or the page's front matter",
    ),
    "element-missing": Kind("has no avatar element", _REBUILD),
    "element-repeated": Kind("has the element {count} times", "keep one <{element}>"),
    "element-beside-runtime": Kind(
        "has a <{element}> in addition to the one that the browser runtime creates",
        "keep only the one in the page's source: the plugin prepares it for the runtime",
        code="element-repeated",
    ),
    "other-component": Kind(
        "has a <{element}> of the other component in addition to what {component} needs",
        "keep one component on a page: remove the tag, or set the option component",
    ),
    "attribute-repeated": Kind(
        "its <{element}> has {attribute} more than once, and a browser ignores the second",
        "keep one of them",
    ),
    "attribute-missing": Kind("its <{element}> has no {attribute}", _REBUILD),
    "attribute-differs": Kind(
        "its <{element}> has a different {attribute} than the build gave it", _REBUILD
    ),
    "address-broken": Kind(
        "its {attribute} points to nothing in the site",
        "write the path from the root of the built site",
    ),
    "key-on-element": Kind(
        "its <{element}> has an attribute that looks like the API key",
        "remove it, and give the key to the token service as AVATAR_API_KEY",
    ),
    "loader-missing": Kind("has no loader script", _REBUILD),
    "loader-repeated": Kind(
        "has the loader {count} times", "keep one script tag, or leave it to the plugin"
    ),
    "loader-differs": Kind(
        "its loader has a different {attribute} than the configuration",
        _DIFFERENCE_FIX,
        Severity.WARNING,
    ),
    "loader-insecure": Kind(
        "loads its loader over http, so anyone on the network can change it", "use https"
    ),
    "loader-early": Kind(
        "loads {url} at once, without waiting for consent or for the visitor",
        "remove the script tag: the browser runtime loads it when it may",
    ),
    # The browser runtime
    "settings-missing": Kind("has no settings for the browser runtime", _REBUILD),
    "settings-repeated": Kind("has the settings for the browser runtime {count} times", _REBUILD),
    "settings-differ": Kind(
        "gives the browser runtime a different {setting} than the build gave it", _REBUILD
    ),
    "runtime-missing": Kind("has no browser runtime", _REBUILD),
    "runtime-repeated": Kind("has the browser runtime {count} times", _REBUILD),
    "runtime-file-missing": Kind(
        "its {url} points to nothing in the site", _REBUILD, code="runtime-missing"
    ),
    # The token endpoint
    "endpoint-unreachable": Kind(
        "cannot be reached ({error})",
        "check that the service runs, that its name resolves, and that its certificate is valid",
    ),
    "endpoint-timeout": Kind(
        "does not answer in time", "check that the service runs", code="endpoint-unreachable"
    ),
    "endpoint-preflight": Kind(
        "answers the browser's preflight with {status}",
        "make it answer OPTIONS for the site's origin, without credentials",
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
        "if it requires sign-in, test it in a browser: this check cannot sign in",
        code="endpoint-status",
    ),
    "endpoint-status-403": Kind(
        "answers {call} with 403",
        "add the site's origin to ALLOWED_ORIGINS of the token service",
        code="endpoint-status",
    ),
    "endpoint-status-404": Kind(
        "answers {call} with 404",
        "correct the path in token_endpoint: this project's service answers on /request_tokens, "
        "without a trailing slash",
        code="endpoint-status",
    ),
    "endpoint-status-405": Kind(
        "answers {call} with 405", "make it answer GET", code="endpoint-status"
    ),
    "endpoint-status-429": Kind(
        "answers {call} with 429",
        "wait, or raise the rate limit for this machine's address",
        code="endpoint-status",
    ),
    "endpoint-status": Kind("answers {call} with {status}", "see the log of the token service"),
    "endpoint-cacheable": Kind(
        "lets caches store the tokens of {call}", "make it send Cache-Control: no-store"
    ),
    "endpoint-vary": Kind(
        "does not declare that its answer to {call} depends on the origin",
        "make it send Vary: Origin",
        Severity.WARNING,
    ),
    "endpoint-payload": Kind(
        "answers {call} with something other than tokens: {problem}",
        'make it answer {{"tokens": {{"accessToken", "refreshToken"}}, "avatarParameters"}}',
    ),
    "endpoint-foreign-origin": Kind(
        "lets {caller} read its answer, so any site can use the avatar",
        "list the site's exact origins in ALLOWED_ORIGINS, without *",
    ),
    "endpoint-foreign-login": Kind(
        "answers {caller} with {status}: the browser hides the answer, but it used a login",
        "check the origin before requesting tokens from Sentifyd",
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
    """Make a finding of a kind.

    Args:
        key: the kind's key in `KINDS`.
        where: path below the site's folder, a URL, or an option.
        code: replaces the kind's code.
        severity: replaces the kind's severity.
        values: the values for the `{name}`s in the kind's texts.
    """
    kind = KINDS[key]
    return Finding(
        code or kind.code or key,
        where,
        kind.what.format_map(values),
        kind.fix.format_map(values),
        severity or kind.severity,
    )
