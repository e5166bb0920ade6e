"""What the plugin adds to a build: CPU time with it, divided by CPU time without it.

Builds of the same generated site run in turn, each in a process of its own, so that whatever else
the machine does meets both alike. Only the ratios mean anything on another machine.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

WORDS = (
    "avatar",
    "token",
    "page",
    "reader",
    "key",
    "service",
    "theme",
    "build",
    "answer",
    "script",
)
PLUGIN = """\
  - sentifyd:
      avatar_id: avtr_1234abcd
      token_endpoint: https://tokens.example.com/request_tokens
"""


def write_site(folder: Path, pages: int, theme: str) -> None:
    chance = random.Random(7)
    for number in range(pages):
        page = folder / "docs" / f"section-{number % 20}" / f"page-{number}.md"
        page.parent.mkdir(parents=True, exist_ok=True)
        parts = [f"# Page {number}"]
        for heading in range(8):
            parts.append(f"## Heading {heading}")
            parts.append(" ".join(chance.choices(WORDS, k=120)))
            parts.append("```python\n" + "\n".join(f"x{i} = {i}" for i in range(10)) + "\n```")
        page.write_text("\n\n".join(parts))
    config = f"site_name: Benchmark\ntheme: {theme}\nplugins:\n  - search\n"
    (folder / "without.yml").write_text(config)
    (folder / "with.yml").write_text(config + PLUGIN)


def cpu_seconds(folder: Path, variant: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    subprocess.run(
        [*command, "-f", str(folder / f"{variant}.yml"), "-d", str(folder / variant)],
        check=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print(f"{options.pages} pages, {options.rounds} rounds, CPU time")
    print(f"{'theme':<12}{'without':>10}{'with':>10}{'ratio':>9}   lowest to highest ratio")
    for theme in ("mkdocs", "material"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_site(folder, options.pages, theme)
            cpu_seconds(folder, "with")  # fills the caches of the file system and of Python
            times: list[tuple[float, float]] = []
            for number in range(options.rounds):
                order = ("without", "with") if number % 2 else ("with", "without")
                seconds = {variant: cpu_seconds(folder, variant) for variant in order}
                times.append((seconds["without"], seconds["with"]))
        ratios = [with_it / without for without, with_it in times]
        medians = [statistics.median(column) for column in zip(*times, strict=True)]
        print(
            f"{theme:<12}{medians[0]:>9.2f}s{medians[1]:>9.2f}s{statistics.median(ratios):>9.3f}"
            f"   {min(ratios):.3f} to {max(ratios):.3f}"
        )


if __name__ == "__main__":
    main()
