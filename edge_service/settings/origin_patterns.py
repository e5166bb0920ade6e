"""Patterns in `ALLOWED_ORIGINS`, such as `https://*.preview.example.com`.

Previews of pull requests have origins that change. A pattern stands for the origins of one owner
only, so it must not reach names that others can register: those directly below a public suffix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

__all__ = ["OriginPattern", "is_pattern"]

MAX_LABEL = 63
EXAMPLE = "https://*.preview.example.com"
_PATTERN = re.compile(
    r"https://(?P<before>[a-z0-9-]*)\*(?P<after>[a-z0-9-]*)"
    # The last label must not look like part of an IPv4 address (WHATWG URL, section 3.5).
    r"\.(?P<parent>(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?\.)*[a-z](?:[a-z0-9-]*[a-z0-9])?)"
    r"(?P<port>:[1-9][0-9]{0,4})?"
)
_NAME = "[a-z0-9]+(?:-[a-z0-9]+)*"


@dataclass(frozen=True, slots=True)
class _Host:
    """How a host of sites names the previews of a customer, below a suffix that customers share.

    Attributes:
        form: the first label of a pattern that names one customer.
        label: the first label of an origin that it may match: a second `--` could make it the name
            of another customer.
        example: such a pattern.
    """

    form: re.Pattern[str]
    label: re.Pattern[str]
    example: str


_READ_THE_DOCS = _Host(
    re.compile(rf"{_NAME}--\*"),
    re.compile(rf"{_NAME}--[0-9]+"),
    "https://PROJECT--*.org.readthedocs.build",
)
# Only hosts whose naming rule leaves no other customer a name that a pattern could match:
# - Netlify: `deploy-preview-42--SITE`, `BRANCH--SITE`, `DEPLOY_ID--SITE`
#   (https://docs.netlify.com/domains/domains-fundamentals/understand-domains); names of
#   sites are unique, and only deploys of SITE contain `--SITE`
#   (https://community.netlify.com/t/netlify-dns-deploy-preview-and-branch-deploys/2168).
# - Read the Docs: `PROJECT--NUMBER` (https://docs.readthedocs.io/en/stable/pull-requests.html,
#   and `readthedocs/core/unresolver.py`, which takes what follows the last `--` as the number).
#   These suffixes are not on the list of public suffixes.
_HOSTS: Mapping[str, _Host] = {
    "netlify.app": _Host(
        re.compile(rf"(?:{_NAME}-)?\*(?:-{_NAME})?--{_NAME}"),
        re.compile(rf"{_NAME}--{_NAME}"),
        "https://*--SITE.netlify.app",
    ),
    "org.readthedocs.build": _READ_THE_DOCS,
    "com.readthedocs.build": _READ_THE_DOCS,
}


def is_pattern(origin: str) -> bool:
    """Whether an entry of `ALLOWED_ORIGINS` is a pattern; `*` alone is none."""
    return "*" in origin and origin != "*"


@dataclass(frozen=True, slots=True)
class OriginPattern:
    """A checked pattern; create it with `parse`.

    Attributes:
        text: the pattern.
        origin: matches the origins in bytes; the first group is the first label.
        parent: the host without its first label.
        owner: the registrable domain that all matches belong to; `None` if `host` decides.
        host: the naming rule of a host whose customers share `parent`.
    """

    text: str
    origin: re.Pattern[bytes]
    parent: str
    owner: str | None
    host: _Host | None

    @classmethod
    def parse(cls, text: str) -> OriginPattern:
        """Check a pattern.

        Raises:
            ValueError: it is malformed, or could match origins of several owners. The message
                continues a sentence that names the variable.
        """
        found = _PATTERN.fullmatch(text)
        if found is None:
            raise ValueError(
                "contains a malformed pattern: write https:// and one * left of the first dot, in "
                f"lower case and without a path, such as {EXAMPLE}"
            )
        before, after, parent, port = found.group("before", "after", "parent", "port")
        label = f"{before}*{after}"
        if label[0] == "-" or label[-1] == "-" or len(label) > MAX_LABEL:
            raise ValueError(
                "contains a pattern that no host name matches: its first label must have at most "
                f"{MAX_LABEL} characters, and no hyphen at its beginning or end"
            )
        if label.startswith("xn--"):
            raise ValueError(
                "contains a pattern that begins with xn--: international names that look like "
                "yours would match; list their origins without *"
            )
        if port == ":443" or int((port or ":1")[1:]) > 65535:
            raise ValueError(
                "contains a pattern with a port that no browser sends: leave the port out"
            )
        host = _HOSTS.get(parent)
        if host is not None and not host.form.fullmatch(label):
            raise ValueError(
                "contains a pattern that other customers of its host could match: write it as "
                f"{host.example}"
            )
        owner = None if host is not None else _registrable_domain()(parent)
        if host is None and owner is None:
            raise ValueError(
                "contains a pattern with * directly below a public suffix, where others can "
                f"register names: put * below a domain of your own, such as {EXAMPLE}, or list "
                "the origins without *"
            )
        start, end = re.escape(before), re.escape(after)
        rest = re.escape(f".{parent}{port or ''}")
        origin = re.compile(f"https://({start}[a-z0-9-]{{1,61}}{end}){rest}".encode("ascii"))
        return cls(text, origin, parent, owner, host)

    def matches(self, origin: bytes) -> bool:
        """Whether an origin, as browsers send it, is one that the pattern stands for."""
        found = self.origin.fullmatch(origin)
        if found is None:
            return False
        label = found[1].decode("ascii")
        if len(label) > MAX_LABEL or label[0] == "-" or label[-1] == "-" or label[:4] == "xn--":
            return False
        if self.host is not None:
            return self.host.label.fullmatch(label) is not None
        # The list may have a suffix below the pattern, such as s3.amazonaws.com.
        return _registrable_domain()(f"{label}.{self.parent}") == self.owner


@cache
def _registrable_domain() -> Callable[[str], str | None]:
    """The function that finds the registrable domain of a host, `None` if it is a public suffix.

    Raises:
        ValueError: the list of public suffixes is not installed.
    """
    # Reading the list takes a while, so services without a pattern do not.
    try:
        from publicsuffixlist import PublicSuffixList
    except ImportError:
        raise ValueError(
            "contains a pattern, which needs the package publicsuffixlist: "
            "pip install 'mkdocs-sentifyd[service]'"
        ) from None
    find: Callable[[str], str | None] = PublicSuffixList().privatesuffix
    return find
