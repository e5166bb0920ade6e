"""The lists of packages that deployments install."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

DEPLOY = Path(__file__).parents[2] / "deploy"


@dataclass(frozen=True, slots=True)
class Pin:
    """One entry of a list.

    Attributes:
        version: the only version that it allows.
        marker: where it applies; empty for everywhere.
        hashes: number of files that it allows.
    """

    version: str
    marker: str
    hashes: int

    @property
    def applies(self) -> bool:
        """Whether this Python, on this system, installs it."""
        return not self.marker or Marker(self.marker).evaluate()


def read_pins(file: Path) -> Mapping[str, Pin]:
    """The entries of a list, by package."""
    found: dict[str, Pin] = {}
    text = file.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            words, *hashes = line.split("--hash=sha256:")
            name, version, marker = re.fullmatch(r"(\S+)==(\S+)(?: *; (.*?))? *", words).groups()  # type: ignore[union-attr]
            assert all(re.fullmatch("[0-9a-f]{64}", one.strip()) for one in hashes), name
            assert canonicalize_name(name) not in found, f"{name} is listed twice"
            found[canonicalize_name(name)] = Pin(version, marker or "", len(hashes))
    return found


def pins(extra: str) -> Mapping[str, Pin]:
    """The list of an extra, for the image."""
    return read_pins(DEPLOY / "container" / "requirements" / f"{extra}.txt")


def closure(requirements: list[str]) -> set[str]:
    """Every package that some requirements need here, from the metadata of installed ones."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        wanted = waiting.pop()
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        found.add(canonicalize_name(wanted.name))
        for text in requires(wanted.name) or []:
            needed = Requirement(text)
            contexts = [{"extra": extra} for extra in ("", *wanted.extras)]
            if needed.marker is None or any(map(needed.marker.evaluate, contexts)):
                needed.marker = None
                if canonicalize_name(needed.name) not in found:
                    waiting.append(needed)
    return found
