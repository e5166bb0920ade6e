"""Write the lists of packages that deployments of the token service install.

Run it with `make pins` after a change of an extra or of `constraints.txt`. It asks the index for
hashes. The service needs none of the plugin's requirements, so the lists come from the extras
alone, and the distribution itself is installed without its dependencies.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

__all__ = ["IMAGE", "SERVERLESS", "name_of", "wanted"]

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
# Extras with a list of their own; each holds only what those before it do not.
IMAGE = ("service", "redis", "otel")
# Requirements besides the extras `service` and `redis`, by the folder of a platform.
SERVERLESS = {"lambda": ("mangum",), "vercel": ()}
HEAD = "# {}, from pyproject.toml and constraints.txt. Generated: make pins\n"


def wanted(*extras: str) -> list[str]:
    """The requirements of some extras, as `pyproject.toml` has them."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = tomllib.loads(text)["project"]["optional-dependencies"]
    return [requirement for extra in extras for requirement in listed[extra]]


def name_of(entry: str) -> str:
    """The package that an entry of a list pins."""
    return entry.partition("==")[0]


def _entries(requirements: Sequence[str], *options: str) -> list[str]:
    """The pins for every system and every supported Python; an entry may have several lines."""
    done = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "uv"), "pip", "compile", "-", "--quiet"),
            *("--universal", "--python-version", "3.11", "--constraint", "constraints.txt"),
            *("--no-header", "--no-annotate", "--no-emit-index-url", *options),
        ],
        cwd=ROOT,
        input="\n".join(requirements),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    entries: list[str] = []
    for line in done.stdout.splitlines():
        if line.startswith(" "):
            entries[-1] += f"\n{line}"
        else:
            entries.append(line)
    return entries


def _write(file: Path, title: str, entries: Sequence[str]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(HEAD.format(title) + "".join(f"{entry}\n" for entry in entries), "utf-8")


def main() -> None:
    """Write every list."""
    listed: set[str] = set()
    for number, extra in enumerate(IMAGE, 1):
        entries = _entries(wanted(*IMAGE[:number]), "--generate-hashes")
        own = [entry for entry in entries if name_of(entry) not in listed]
        listed |= {name_of(entry) for entry in entries}
        _write(DEPLOY / "container/requirements" / f"{extra}.txt", f"The extra {extra}", own)
    for folder, more in SERVERLESS.items():
        entries = _entries([*wanted("service", "redis"), *more])
        title = "The extras service and redis" + "".join(f", and {name}" for name in more)
        _write(DEPLOY / folder / "requirements.txt", title, entries)


if __name__ == "__main__":
    main()
