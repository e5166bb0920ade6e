"""Try all real sites, or some: `python -m tests.real_sites [--pins] [NAME ...]`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.matrix.environments import InstallError
from tests.real_sites.building import try_site
from tests.real_sites.sites import SdistError, read_sites


def main(arguments: list[str]) -> int:
    if arguments == ["--pins"]:
        for site in read_sites():
            site.write_pins()
        return 0
    sites = [site for site in read_sites() if not arguments or site.name in arguments]
    if unknown := set(arguments) - {site.name for site in sites}:
        print(f"sites.toml has no {', '.join(sorted(unknown))}")
        return 1
    failed = False
    for site in sites:
        label = f"{site.name} {site.version}"
        with tempfile.TemporaryDirectory() as folder:
            try:
                outcome = try_site(site, Path(folder))
            except InstallError as error:
                print(f"{label}: not tried, because something cannot be installed: {error}")
                failed |= os.environ.get("CI") == "true"
                continue
            except SdistError as error:
                print(f"{label}: not tried: {error}")
                failed = True
                continue
        seconds = " s without, ".join(f"{value:.1f}" for value in outcome.seconds) + " s with"
        result = f"problems: {len(outcome.problems)}" if outcome.problems else "no problems"
        print(f"{label}: {outcome.theme}, {outcome.pages} pages, {seconds}, {result}", flush=True)
        for problem in outcome.problems:
            print(f"  {problem}")
        failed |= bool(outcome.problems)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
