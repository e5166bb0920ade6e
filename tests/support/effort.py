"""How much one run of the tests tries."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

# The workflow sets it. Elsewhere, a part of the combinations and examples is enough.
THOROUGH = os.environ.get("THOROUGH") == "true"


def some(items: Sequence[T], step: int = 6) -> Sequence[T]:
    """Every item if thorough, otherwise one of `step`."""
    return items if THOROUGH else items[::step]


def examples(usual: int) -> int:
    """How many examples a property is tried with: five times as many as usual if thorough."""
    return 5 * usual if THOROUGH else usual
