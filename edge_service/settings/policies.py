"""The issuing policies that an operator can choose, and what follows from each.

The package `issuing` has a module for each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["POLICIES", "PolicyFacts", "PolicyName", "parse_policy"]

PolicyName = Literal["direct", "pool", "shared"]


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """What the rest of the service needs to know of a policy.

    Attributes:
        summary: what it costs in logins, for a person who starts the service.
        is_shared: every visitor gets the same tokens.
    """

    summary: str
    is_shared: bool = False


POLICIES: Mapping[PolicyName, PolicyFacts] = {
    "direct": PolicyFacts("a login at Sentifyd for each request"),
    "pool": PolicyFacts("logins ahead of time, each for one visitor"),
    "shared": PolicyFacts("one login for everybody until it expires", is_shared=True),
}


def parse_policy(value: str) -> PolicyName:
    """The name of a policy, in any case."""
    names: tuple[PolicyName, ...] = get_args(PolicyName)
    for name in names:
        if name == value.strip().lower():
            return name
    raise ValueError(f"must be one of {', '.join(names)}")
