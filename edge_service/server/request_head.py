"""Rules for the head of a request (RFC 9110, RFC 9112) that httptools does not check.

A proxy that follows these rules could understand such a request differently than we do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from edge_service.errors import BadRequest

__all__ = ["METHOD_FOR_PARSER", "check_head", "unknown_method"]

METHOD_FOR_PARSER = b"PUT"
"""What the parser reads in place of a method that it does not know."""
# RFC 9110, section 7.2, and RFC 3986, section 3.2.2.
_HOST = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?"
)
_CODING = b"transfer-encoding"
_VERSIONS = ("1.0", "1.1")
# `PRI` begins HTTP/2 (RFC 9113, section 3.4), which the parser refuses.
_KNOWN = frozenset(
    (
        *(b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE"),
        *(b"PATCH", b"PRI"),
    )
)
_METHOD = re.compile(rb"(?:\r\n)*([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ")


def check_head(version: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Check a complete head.

    Args:
        version: HTTP version, such as `1.1`.
        target: the request target.
        headers: pairs of name, in lower case, and value.

    Raises:
        BadRequest: another version than 1.0 and 1.1; a fragment in the target; no host, several or
            an invalid one; another transfer coding than `chunked`, or one with HTTP/1.0.
    """
    if version not in _VERSIONS:
        raise BadRequest("Only HTTP/1.1 and HTTP/1.0 are supported")
    if b"#" in target:
        raise BadRequest("The request's target has a fragment")
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise BadRequest("The request needs exactly one Host header")
    if hosts and not _HOST.fullmatch(hosts[0].strip(b" \t")):
        raise BadRequest("The Host header is not a host name or address")
    codings = [value.strip(b" \t").lower() for name, value in headers if name == _CODING]
    if codings and (version == "1.0" or codings != [b"chunked"]):
        raise BadRequest("The only supported Transfer-Encoding is chunked, with HTTP/1.1")


def unknown_method(data: bytes) -> tuple[bytes, bytes] | None:
    """Replace a method that the parser does not know, so that the application can refuse it.

    Args:
        data: the beginning of a request.

    Returns:
        The method, and the data with `METHOD_FOR_PARSER` in its place. `None` if the method is
        known, incomplete, malformed or longer than 32 characters.
    """
    match = _METHOD.match(data)
    if match is None or match[1] in _KNOWN:
        return None
    return match[1], METHOD_FOR_PARSER + data[match.end(1) :]
