"""Access to request headers in an ASGI scope."""

from __future__ import annotations

from starlette.types import Scope

__all__ = ["header_values"]


def header_values(scope: Scope, name: bytes) -> list[bytes]:
    """Every value of a header, in order; `name` in lower case."""
    return [value for key, value in scope["headers"] if key == name]
