"""A virtual environment for each generator, which is kept until its pinned versions change."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
UV = str(Path(sys.executable).parent / "uv")


class InstallError(Exception):
    """uv could not install packages; the text is its command and what it printed."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The virtual environment of a generator."""

    name: str
    folder: Path

    @property
    def scripts(self) -> Path:
        return self.folder / "bin"

    def install(self, *arguments: str) -> None:
        """Install packages; takes the arguments of `uv pip install`.

        Raises:
            InstallError: there is no network, or a version does not exist.
        """
        self.pip("install", "--quiet", *arguments)

    def pip(self, command: str, *arguments: str) -> None:
        """Run a command of `uv pip` for this environment.

        Raises:
            InstallError: it failed.
        """
        uv("pip", command, "--python", str(self.scripts / "python"), *arguments)

    def variables(self) -> dict[str, str]:
        """Environment variables: its own commands first, and few from the test process."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AVATAR", "SENTIFYD", "PYTHON", "VIRTUAL_ENV", "GIT_"))
        }
        path = f"{self.scripts}{os.pathsep}{os.environ.get('PATH', '')}"
        own = {"PATH": path, "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"}
        # The user's git configuration may sign commits or run hooks.
        return {**kept, **own, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}

    def run(
        self, *command: str, folder: Path, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment, with stdout and stderr in `stdout`."""
        return subprocess.run(
            [str(self.scripts / command[0]), *command[1:]],
            cwd=folder,
            env={**self.variables(), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=300,
            check=False,
        )


def make_environment(name: str, *, with_project: bool) -> Environment:
    """Return the environment of a generator with its pinned requirements.

    Args:
        name: of the file in `requirements/`.
        with_project: whether the working tree is installed too, for a generator with plugins.

    Raises:
        InstallError: there is no network, or a pinned version no longer exists.
    """
    requirements = HERE / "requirements" / f"{name}.txt"
    environment = Environment(name, ROOT / ".venvs" / f"matrix-{name}")
    arguments = ("--requirement", str(requirements))
    return prepare(environment, *arguments, pins=requirements, with_project=with_project)


def prepare(
    environment: Environment, *arguments: str, pins: Path, with_project: bool
) -> Environment:
    """Install an environment, unless it is there already.

    Args:
        environment: name and folder.
        arguments: what to install, as for `uv pip install`.
        pins: the file with the pinned versions.
        with_project: whether the working tree is installed too.

    Raises:
        InstallError: there is no network, or a pinned version no longer exists.
    """
    stamp = environment.folder / "stamp"
    wanted = _fingerprint(arguments, pins, with_project=with_project)
    environment.folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{environment.folder}.lock"):
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
            return environment
        shutil.rmtree(environment.folder, ignore_errors=True)
        uv("venv", "--quiet", "--python", sys.executable, str(environment.folder))
        environment.install(*arguments)
        if with_project:
            environment.install("--no-deps", "--editable", str(ROOT))
        stamp.write_text(wanted, encoding="utf-8")
    return environment


def _fingerprint(arguments: tuple[str, ...], pins: Path, *, with_project: bool) -> str:
    # Scripts and the editable project name folders; entry points are in pyproject.toml.
    parts = [sys.version, str(ROOT), *arguments, pins.read_text(encoding="utf-8")]
    if with_project:
        parts.append((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def uv(*arguments: str) -> str:
    """Run uv, and return its output.

    Raises:
        InstallError: it failed.
    """
    result = subprocess.run(
        [UV, "--no-config", *arguments],
        cwd=Path(UV).parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    if result.returncode:
        raise InstallError(f"uv {' '.join(arguments)}\n{result.stderr.strip()}")
    return result.stdout
