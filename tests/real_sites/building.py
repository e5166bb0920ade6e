"""Build a real site without the plugin and with it, and look for what the plugin broke."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from mkdocs_sentifyd.cli import main
from tests.matrix.environments import Environment
from tests.matrix.sites import NO_NETWORK
from tests.real_sites.compare import changed, differences, searchable
from tests.real_sites.sites import Site, add_plugin, theme_of

# The first of January 2026: MkDocs, Git and others write no other time into a site.
EPOCH = "1767225600"
_SAME = {
    "SOURCE_DATE_EPOCH": EPOCH,
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONPATH": str(Path(__file__).parent / "same_random"),
}
_GIT = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "Test"), ("EMAIL", "test@example.com"), ("DATE", f"{EPOCH} +0000"))
}
# Of the output of a failed build.
LAST_LINES = 10
_PROBLEM = re.compile(r"^(?:WARNING|ERROR) .*", re.MULTILINE)


@dataclass(slots=True)
class Outcome:
    """What became of a site.

    Attributes:
        theme: its name.
        pages: number of pages with an avatar.
        seconds: of the build without the plugin, and of the build with it.
        problems: what the plugin broke, one line each.
    """

    theme: str
    pages: int = 0
    seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def try_site(site: Site, folder: Path) -> Outcome:
    """Build a site twice in an empty folder, compare the builds, and run the check.

    Raises:
        InstallError: there is no network.
        SdistError: the index has another sdist.
    """
    environment = site.environment()
    config_file = site.unpack(folder / "source")
    _commit(environment, folder / "source")
    outcome = Outcome(theme_of(config_file))
    without, with_plugin = folder / "without", folder / "with"
    logs = [_build(environment, config_file, without, outcome)]
    add_plugin(config_file, site.options)
    logs.append(_build(environment, config_file, with_plugin, outcome))
    if outcome.problems:
        return outcome
    warnings = [_PROBLEM.findall(log) for log in logs]
    outcome.problems += [f"new: {line}" for line in warnings[1] if line not in warnings[0]]
    outcome.problems += differences(without, with_plugin)
    avatars = changed(without, with_plugin)
    outcome.pages = len(avatars)
    wanted = searchable(without) | {"404.html"}
    outcome.problems += [f"{name}: has no avatar" for name in sorted(wanted - avatars)]
    outcome.problems += _check(with_plugin, config_file)
    return outcome


def _build(environment: Environment, config_file: Path, target: Path, outcome: Outcome) -> str:
    """Run a strict build, and return its output; a strict build with warnings is complete too."""
    command = ["mkdocs", "build", "--strict", "--config-file", config_file.name]
    started = time.monotonic()
    result = environment.run(
        *command, "--site-dir", str(target), folder=config_file.parent, **NO_NETWORK, **_SAME
    )
    outcome.seconds.append(time.monotonic() - started)
    if result.returncode and " in strict mode!" not in result.stdout:
        outcome.problems += result.stdout.splitlines()[-LAST_LINES:]
    return result.stdout


def _commit(environment: Environment, folder: Path) -> None:
    """Put the files into a git repository, because some plugins read the history."""
    (source,) = folder.iterdir()
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message=All"]):
        subprocess.run(
            ["git", *command], cwd=source, env={**environment.variables(), **_GIT}, check=True
        )


def _check(site_dir: Path, config_file: Path) -> list[str]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = main(["check", str(site_dir), "--config-file", str(config_file), "--json"])
    findings = json.loads(printed.getvalue())["findings"]
    return [f"check: {finding}" for finding in findings] or ["check failed"] * status
