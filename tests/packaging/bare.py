"""Virtual environments with the built wheel and its requirements, but without the source tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.matrix.environments import UV, Environment, InstallError, uv


def interpreters() -> dict[str, str]:
    """The CPythons to try, by their versions; the running one first.

    With `EVERY_PYTHON=true` these are all on this machine that are new enough.
    """
    found = {"{}.{}".format(*sys.version_info): sys.executable}
    if os.environ.get("EVERY_PYTHON") != "true":
        return found
    # pyenv puts launchers on the path that work for the chosen version alone.
    folders = [str(folder) for folder in Path.home().glob(".pyenv/versions/*/bin")]
    listed = subprocess.run(
        [
            UV,
            "python",
            "list",
            "--only-installed",
            "--offline",
            "--output-format",
            "json",
            ">=3.11",
        ],
        env={**os.environ, "PATH": os.pathsep.join([*folders, os.environ.get("PATH", "")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    for python in json.loads(listed.stdout):
        if python["implementation"] == "cpython" and python["variant"] == "default":
            parts = python["version_parts"]
            found.setdefault(f"{parts['major']}.{parts['minor']}", python["path"])
    return found


def make_bare(
    folder: Path, python: str, requirements: Iterable[str], without: Iterable[str] = ()
) -> Environment:
    """Make an environment with these requirements, and then uninstall some packages.

    Raises:
        InstallError: there is no network, or no matching version.
    """
    uv("venv", "--quiet", "--python", python, str(folder))
    # `Site` builds with the command of the environment's name.
    environment = Environment("mkdocs", folder)
    environment.install(*requirements)
    if names := tuple(without):
        environment.pip("uninstall", "--quiet", *names)
    return environment


def conflicts(environment: Environment) -> str:
    """uv's report of conflicting versions; empty if there are none."""
    try:
        environment.pip("check")
    except InstallError as error:
        return str(error)
    return ""


def lowest(project: Path, python: str, *extras: str) -> list[str]:
    """Pins of the lowest versions that the project supports."""
    chosen = [argument for extra in extras for argument in ("--extra", extra)]
    pins = uv(
        *("pip", "compile", "--quiet", "--resolution", "lowest-direct", "--python", python),
        *("--no-header", "--no-annotate", *chosen, str(project)),
    )
    return pins.splitlines()


def try_pins(python: str, *arguments: str) -> None:
    """Resolve requirements for a Python that need not be installed.

    Args:
        python: its version, such as 3.11.2.
        arguments: requirements and constraints, as for pip.

    Raises:
        InstallError: they cannot be met.
    """
    uv("pip", "compile", "--quiet", "--python-version", python, *arguments)
