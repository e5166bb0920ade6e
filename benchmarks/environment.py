"""The virtual environment that everything is measured in.

It has the peers, which the development environment does not need. The project is in it as it
stands in the working tree.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["ROOT", "ready_environment"]

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venvs" / "bench"
PINS = (ROOT / "benchmarks" / "requirements.txt", ROOT / "constraints.txt", ROOT / "pyproject.toml")


def ready_environment() -> Path:
    """Its folder of programs; made when it is missing, or older than what it is made from."""
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
