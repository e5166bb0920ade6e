"""A strict JSON parser (RFC 8259) for responses of other servers."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

__all__ = ["JSON", "InvalidJson", "parse_json"]

JSON = dict[str, Any]


class InvalidJson(ValueError):
    """The body is not strict JSON. The message never quotes it, because it may contain a secret."""


def parse_json(body: bytes) -> object:
    """Parse strict JSON (RFC 8259): no NaN, no infinity, no unbounded nesting.

    Args:
        body: UTF-8, UTF-16 or UTF-32, as the standard library detects them.

    Raises:
        InvalidJson: the body is not JSON.
    """
    try:
        parsed: object = json.loads(body, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        # Raised below, outside the handler, because a chained ValueError contains the body.
        pass
    else:
        return parsed
    raise InvalidJson("it is not JSON")


def _no_constant(_: str) -> NoReturn:
    raise ValueError


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError
    return number
