"""Create the environments of the peers, which development does not need.

Builds are measured in the virtual environment, so it also has this project as an editable install.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["ROOT", "ready_environment", "ready_express"]

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venvs" / "bench"
PINS = (ROOT / "benchmarks" / "requirements.txt", ROOT / "constraints.txt", ROOT / "pyproject.toml")
EXPRESS = ROOT / ".venvs" / "express"
EXPRESS_SOURCE = ROOT / "benchmarks" / "peers" / "express"


def ready_environment() -> Path:
    """Return the environment's folder of programs; create it if it is missing or outdated."""
    programs, stamp = VENV / "bin", VENV / "made-from"
    wanted = "".join(pin.read_text(encoding="utf-8") for pin in PINS)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return programs
    print(f"making {VENV.relative_to(ROOT)}", file=sys.stderr)
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    pip = [str(programs / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", PINS[0], "-c", PINS[1]], check=True)
    subprocess.run([*pip, "--no-deps", "--editable", ROOT], check=True)
    stamp.write_text(wanted, encoding="utf-8")
    return programs


def ready_express() -> Path | None:
    """Return the folder of the Express peer with its packages, or `None` if npm is missing."""
    npm, stamp = shutil.which("npm"), EXPRESS / "made-from"
    wanted = (EXPRESS_SOURCE / "package.json").read_text(encoding="utf-8")
    if npm is None:
        return None
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"making {EXPRESS.relative_to(ROOT)}", file=sys.stderr)
        shutil.rmtree(EXPRESS, ignore_errors=True)
        shutil.copytree(EXPRESS_SOURCE, EXPRESS)
        quiet = ("--silent", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
        subprocess.run([npm, "install", *quiet], cwd=EXPRESS, check=True)
        stamp.write_text(wanted, encoding="utf-8")
    shutil.copy(EXPRESS_SOURCE / "server.js", EXPRESS)
    return EXPRESS
