"""The file of `--env-file`: one `NAME=VALUE` in each line, as every program reads it alike.

The grammar is the part in which systemd (`EnvironmentFile=`), Docker (`--env-file`) and Compose
(`env_file:`) agree. What they read differently is refused: quotes, backslashes, dollar signs, and
white space around a name or a value.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_service.settings.environment import read_text
from edge_service.settings.model import SettingsError
from edge_service.settings.variables import declared

__all__ = ["Source", "read_env_file"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the variables come from. Those of the process win over those in the file.

    Attributes:
        process: variables of the process. They cannot change, and are never part of the repr.
        path: of `--env-file`; `None` without one.
        shown: other names for variables in messages, such as `--port` for `PORT`.
        defaults: variables that are set if neither process nor file sets them.
    """

    process: Mapping[str, str] = field(repr=False)
    path: Path | None = None
    shown: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)

    def read(self) -> tuple[dict[str, str], list[str]]:
        """Read the file.

        Returns:
            All variables, and the names in the file that have no effect, because the process has
            them too.

        Raises:
            SettingsError: the file cannot be read, or a line is malformed.
        """
        own = {} if self.path is None else read_env_file(self.path)
        shadowed = [self.shown.get(name, name) for name in own if name in self.process]
        return {**self.defaults, **own, **self.process}, shadowed

    def is_exposed(self) -> bool:
        """Whether every user of this machine can read a secret in the file."""
        if self.path is None:
            return False
        secrets = {variable.name for variable in declared() if variable.secret}
        try:
            return bool(
                self.path.stat().st_mode & stat.S_IROTH
                and secrets & read_env_file(self.path).keys()
            )
        except (OSError, SettingsError):
            return False


def read_env_file(path: Path) -> dict[str, str]:
    """The variables in a file.

    Raises:
        SettingsError: it cannot be read, or a line is malformed. There is one problem for each such
            line; it names the file and the line, and quotes nothing of it.
    """
    try:
        text = read_text(path)
    except ValueError as error:
        raise SettingsError([f"--env-file: {path} {error}"]) from None
    found: dict[str, str] = {}
    problems = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if problem := _problem(name, equals, value) or (
            "sets a variable of an earlier line again: keep one of them" if name in found else ""
        ):
            problems.append(f"--env-file: line {number} of {path} {problem}")
        found[name] = value
    if problems:
        raise SettingsError(problems)
    return found


def _problem(name: str, equals: str, value: str) -> str:
    """What is wrong with a line, or an empty string."""
    if not equals or not _NAME.fullmatch(name):
        return "must be NAME=VALUE, without export and without white space around the name"
    if value != value.strip() or re.search(r"\s#", value):
        return "has white space around the value, or a comment after it: remove it"
    if not value.isprintable():
        return "contains a control character: remove it"
    if re.search(r"""["'\\$]""", value):
        return (
            "has a quote, a backslash or a dollar sign, which programs read differently: remove "
            "quotes, and put a secret that has one into a file that NAME_FILE names"
        )
    return ""
