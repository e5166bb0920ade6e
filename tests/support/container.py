"""The content of the files in `deploy/container`, for tests without a container engine."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "container"


class Stage:
    """One stage of the Dockerfile: its instructions, in order."""

    def __init__(self, steps: list[tuple[str, str]]) -> None:
        self.steps = steps

    def all(self, keyword: str) -> list[str]:
        """The text of every instruction with this keyword, including options."""
        return [text for word, text in self.steps if word == keyword]

    def the(self, keyword: str) -> str:
        """The text of the only instruction with this keyword."""
        [text] = self.all(keyword)
        return text

    def words(self, keyword: str) -> list[str]:
        """The words of a command in exec form."""
        words: list[str] = json.loads(re.sub(r"^.*?(?=\[)", "", self.the(keyword)))
        return words

    @property
    def environment(self) -> dict[str, str]:
        """The variables that it sets."""
        pairs = [pair for text in self.all("ENV") for pair in shlex.split(text)]
        return dict(pair.split("=", 1) for pair in pairs)

    @property
    def copied(self) -> list[str]:
        """The paths that it copies from the repository."""
        return [name for text in self.all("COPY") for name, _ in copies(text)]


def copies(text: str) -> Iterator[tuple[str, str]]:
    """What a COPY copies from the repository: each path, and its target in the image."""
    if "--from=" not in text:
        *sources, target = (word for word in shlex.split(text) if not word.startswith("--"))
        for source in sources:
            yield source, f"{target}{Path(source).name}" if target.endswith("/") else target


def stages() -> list[Stage]:
    """The stages of the Dockerfile; instructions before the first stage are ignored."""
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    found: list[Stage] = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        keyword, _, rest = line.partition(" ")
        if keyword == "FROM":
            found.append(Stage([]))
        if found:
            found[-1].steps.append((keyword, rest.strip()))
    return found


def compose(*, with_optional: bool = False) -> dict[str, Any]:
    """The Compose file, optionally with the files that `.env.example` can add to it."""
    names = ["compose.yaml"]
    if with_optional:
        names = example_variables(with_optional=True)["COMPOSE_FILE"].split(":")
    merged: dict[str, Any] = {}
    for name in names:
        content = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
        merged = _merged(merged, content)
    return merged


def _merged(first: object, second: object) -> Any:  # noqa: ANN401 - like the content of a file
    """Two parts of Compose files, as Compose merges them: mappings by key, lists joined."""
    if isinstance(first, dict) and isinstance(second, dict):
        both = first.keys() & second.keys()
        return {**first, **second, **{name: _merged(first[name], second[name]) for name in both}}
    if isinstance(first, list) and isinstance(second, list):
        return [*first, *second]
    return second


def example_variables(*, with_optional: bool = False) -> dict[str, str]:
    """The variables that `.env.example` sets, optionally with those in comments."""
    comment = "#?" if with_optional else ""
    text = (FOLDER / ".env.example").read_text(encoding="utf-8")
    return dict(re.findall(rf"^{comment}([A-Z_]+)=(.*)$", text, re.MULTILINE))
