"""`AVATARS_FILE`: a TOML file that configures several avatars, each with its own key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from edge_service.settings import parsers, urls
from edge_service.settings.environment import read_text
from edge_service.settings.policies import parse_policy

__all__ = ["Entry", "read_avatars_file"]

T = TypeVar("T")

MAX_AVATARS = 1000
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~-]{0,127}")
_FIELDS = ("id", "key", "key_file", "avatar_id", "backend", "login_path", "allowed_origins",
           "policy", "login_budget")  # fmt: skip

Entry = dict[str, Any]


def read_avatars_file(
    path: Path,
    *,
    allow_any: bool,
    has_default: bool,
    problems: list[str],
    files: list[Path],
    key: str | None = None,
) -> tuple[dict[str, Entry], str | None]:
    """Read and validate the file.

    Args:
        path: the file. A relative `key_file` is resolved against its folder.
        allow_any: whether `*` is a valid origin.
        has_default: whether environment variables already define the default avatar.
        problems: gets one line for each mistake. No line quotes a value, which may be a key.
        files: gets the path of each key file.
        key: API key of the default avatar; no ID in the file may be equal to it.

    Returns:
        The valid fields of each avatar, by ID (`key` is always one of them), and the ID of the
        default avatar: the file's `default`, or its only avatar.
    """

    def report(text: str) -> None:
        problems.append(f"AVATARS_FILE: {text}")

    try:
        text = read_text(path)
    except ValueError as error:
        report(f"the file it names {error}")
        return {}, None
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        place = re.search(r"\(at [^()]*\)$", str(error))
        report(f"the file is not TOML {place[0] if place else ''}".rstrip())
        return {}, None
    default = content.pop("default", None)
    tables = content.pop("avatars", None)
    for name in content:
        report(f"{_shown(name)} is not a top-level field: use default or [[avatars]]")
    if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
        report("defines no avatars: write a table [[avatars]] with id and key_file for each")
        return {}, None
    if len(tables) > MAX_AVATARS:
        report(f"defines more than {MAX_AVATARS} avatars: spread them over several services")
        return {}, None
    entries: dict[str, Entry] = {}
    keys = {key}
    ids: list[tuple[str, str | None]] = []
    for number, table in enumerate(tables, 1):
        reader = _Table(table, f"avatar {number}:", report, files)
        entry = reader.entry(path.parent, allow_any=allow_any)
        keys.add(entry.get("key"))
        ids += [(f"avatar {number}: {name}", entry.get(name)) for name in ("id", "avatar_id")]
        name = entry.pop("id", None)
        if name in entries:
            report(f"avatar {number}: id is already used by another avatar: choose another")
        elif name is not None:
            entries[name] = entry
    for where, value in ids:
        if value is not None and value in keys:
            report(
                f"{where} is the same as an API key, and an ID is public: use another ID, and "
                "replace the key if it was published"
            )
    if default is None:
        default = next(iter(entries)) if len(tables) == 1 and entries else None
    elif has_default:
        report("default is set, and AVATAR_API_KEY is the default avatar: keep one of them")
    elif not isinstance(default, str) or default not in entries:
        report("default must be the id of one of the avatars")
        default = None
    return entries, default


class _Table:
    def __init__(
        self, table: Entry, where: str, report: Callable[[str], None], files: list[Path]
    ) -> None:
        self._table = table
        self._where = where
        self._report = report
        self._files = files

    def entry(self, folder: Path, *, allow_any: bool) -> Entry:
        """The valid fields of the table; invalid ones are reported."""
        for name in self._table:
            if name not in _FIELDS:
                self._problem(f"{_shown(name)} is not a field: use one of {', '.join(_FIELDS)}")
        found = {
            "id": self._text("id", _identifier, required=True),
            "key": self._key(folder),
            "avatar_id": self._text("avatar_id", parsers.avatar_id),
            "backend": self._text("backend", urls.backend),
            "login_path": self._text("login_path", parsers.login_path),
            "allowed_origins": self._origins(allow_any=allow_any),
            "policy": self._text("policy", parse_policy),
            "login_budget": self._text("login_budget", parsers.checked(parsers.parse_login_budget)),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _problem(self, text: str) -> None:
        self._report(f"{self._where} {text}")

    def _text(self, name: str, parse: Callable[[str], T], *, required: bool = False) -> T | None:
        value = self._table.get(name)
        if value is None:
            if required:
                self._problem(f"{name} is missing")
            return None
        return self._parse(name, value, parse)

    def _parse(self, name: str, value: object, parse: Callable[[str], T]) -> T | None:
        if not isinstance(value, str) or not value.strip():
            self._problem(f"{name} must be a string that is not empty")
            return None
        try:
            return parse(value)
        except ValueError as error:
            self._problem(f"{name} {error}")
            return None

    def _key(self, folder: Path) -> str | None:
        if "key_file" not in self._table:
            if "key" in self._table:
                return self._text("key", parsers.api_key)
            self._problem("key_file is missing: name a file that contains the avatar's API key")
            return None
        if "key" in self._table:
            self._problem("key and key_file are both set: keep one of them")
            return None
        path = self._text("key_file", lambda value: folder / value)
        if path is None:
            return None
        self._files.append(path)
        try:
            text = read_text(path).rstrip("\r\n")
        except ValueError as error:
            self._problem(f"key_file: the file it names {error}")
            return None
        return self._parse("key_file", text, parsers.api_key)

    def _origins(self, *, allow_any: bool) -> frozenset[str] | None:
        value = self._table.get("allowed_origins")
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(origin, str) for origin in value):
            self._problem("allowed_origins must be a list of origins")
            return None
        # The final comma makes an empty list fail with "lists no origin", not with "empty string".
        listed = ",".join(value) + ","
        return self._parse(
            "allowed_origins", listed, lambda text: urls.origins(text, allow_any=allow_any)
        )


def _identifier(value: str) -> str:
    if not _ID.fullmatch(value):
        raise ValueError(
            "must be at most 128 letters, digits and -._~, because it is part of the URL"
        )
    return value


def _shown(name: str) -> str:
    """A field's name, unless it may be a secret written on the wrong side of the equals sign."""
    return name if re.fullmatch(r"[a-z_]{1,20}", name) else "a name"
