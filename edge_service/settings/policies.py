"""Names and properties of the issuing policies; the package `issuing` implements them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["POLICIES", "PolicyFacts", "PolicyName", "parse_policy"]

PolicyName = Literal["direct", "pool", "shared"]


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """Properties of a policy that the rest of the service needs.

    Attributes:
        summary: its cost in logins, printed when the service starts.
        is_shared: every visitor gets the same tokens.
    """

    summary: str
    is_shared: bool = False


POLICIES: Mapping[PolicyName, PolicyFacts] = {
    "direct": PolicyFacts("one Sentifyd login for each request"),
    "pool": PolicyFacts("logins ahead of time, each for one visitor"),
    "shared": PolicyFacts("one login for all visitors until it expires", is_shared=True),
}


def parse_policy(value: str) -> PolicyName:
    """The name of a policy; upper and lower case are equal.

    Raises:
        ValueError: there is no such policy.
    """
    names: tuple[PolicyName, ...] = get_args(PolicyName)
    for name in names:
        if name == value.strip().lower():
            return name
    raise ValueError(f"must be one of {', '.join(names)}")
