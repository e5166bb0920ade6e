"""Suggest what was meant by a pattern that matches no page."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from urllib.parse import unquote, urlsplit

from mkdocs.config import config_options as c
from mkdocs.config.base import ValidationError

__all__ = ["suggested_pattern"]

_URL = re.compile(r"https?://", re.IGNORECASE)


def suggested_pattern(line: str, paths: Collection[str], docs_dir: str) -> str | None:
    """Return a pattern that matches a page, made from one that matches none, or `None`.

    Args:
        line: the pattern.
        paths: source paths of all pages, with `/` as separator.
        docs_dir: name of the folder of the sources.
    """
    exception, text = ("!", line[1:]) if line.startswith("!") else ("", line)
    for candidate in _candidates(text, docs_dir):
        if candidate.strip("/*") and candidate != text and _matches(candidate, paths):
            return exception + candidate
    return _in_other_case(text, paths, exception)


def _candidates(text: str, docs_dir: str) -> Iterator[str]:
    """Yield other ways to write a pattern, the smallest change first."""
    for path in _paths(text, docs_dir):
        yield path
        # The address of a page in place of its source.
        stem = re.sub(r"(?:^|(?<=/))index\.html$|\.html$|#.*$", "", path).rstrip("/")
        if stem.strip("/*"):
            yield from (f"{stem}.md", f"{stem}/index.md", f"{stem}/README.md")
        # Only the files of the folder itself, in place of those at any depth.
        folder, _, name = path.rpartition("/")
        if "*" in name and folder:
            yield f"{folder}/**/{name}"
            if name == "*":
                yield f"{folder}/"


def _paths(text: str, docs_dir: str) -> Iterator[str]:
    """Yield the path in a pattern, without what cannot be part of a source path."""
    if _URL.match(text):
        path = unquote(urlsplit(text).path).lstrip("/")
        # The site may be below the root of its host.
        while path:
            yield f"/{path}"
            path = path.partition("/")[2]
        return
    path = text.replace("\\", "/") if "\\" in text and "/" not in text else text
    path = re.sub(r"^(?:\./)+", "", path)
    yield path
    prefix = f"{docs_dir}/"
    if path.lstrip("/").startswith(prefix):
        yield path.lstrip("/").removeprefix(prefix)


def _matches(pattern: str, paths: Collection[str]) -> bool:
    try:
        spec = c.PathSpec().validate(pattern)
    except (re.error, ValidationError, RecursionError):
        return False
    return any(map(spec.match_file, paths))


def _in_other_case(text: str, paths: Collection[str], exception: str) -> str | None:
    """Return a path or a folder that differs from a pattern only in case."""
    wanted = text.strip("/").lower()
    for path in sorted(paths):
        parts = path.split("/")
        for start in range(len(parts)):
            for end in range(start + 1, len(parts) + 1):
                found = "/".join(parts[start:end])
                if found.lower() == wanted and found != text.strip("/"):
                    return f"{exception}{found}{'/' if end < len(parts) else ''}"
    return None
