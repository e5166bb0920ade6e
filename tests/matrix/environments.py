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


class InstallError(Exception):
    """pip could not install the packages of an environment; the text is pip's last line."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The virtual environment of a generator."""

    name: str
    folder: Path

    @property
    def scripts(self) -> Path:
        return self.folder / "bin"

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
    stamp = environment.folder / "stamp"
    wanted = _fingerprint(requirements, with_project=with_project)
    environment.folder.parent.mkdir(exist_ok=True)
    with FileLock(f"{environment.folder}.lock"):
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
            return environment
        shutil.rmtree(environment.folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(environment.folder)], check=True)
        _install(environment, "--requirement", str(requirements))
        if with_project:
            _install(environment, "--no-deps", "--editable", str(ROOT))
        stamp.write_text(wanted, encoding="utf-8")
    return environment


def _fingerprint(requirements: Path, *, with_project: bool) -> str:
    # Scripts and the editable project name folders; entry points are in pyproject.toml.
    parts = [sys.version, str(ROOT), requirements.read_text(encoding="utf-8")]
    if with_project:
        parts.append((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _install(environment: Environment, *arguments: str) -> None:
    pip = ("python", "-m", "pip", "install", "--disable-pip-version-check", "--quiet")
    result = environment.run(*pip, *arguments, folder=ROOT)
    if result.returncode:
        raise InstallError(result.stdout.strip().splitlines()[-1])
