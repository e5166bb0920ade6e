"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["REBUILD", "Finding", "Severity"]

REBUILD = "build the site again, or run `mkdocs-sentifyd inject` on a fresh build of it"


class Severity(StrEnum):
    """Whether a site can be published like that."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend.

    Attributes:
        code: stable name of the kind.
        where: path below the site's folder, an address, or an option.
        what: what is wrong, without any secret.
        cure: how to mend it.
        severity: an error fails the check.
    """

    code: str
    where: str
    what: str
    cure: str
    severity: Severity = Severity.ERROR
