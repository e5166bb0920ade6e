"""Print the result of a check: for people, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mkdocs_sentifyd.check.findings import Finding, Severity
from mkdocs_sentifyd.check.site import SiteCheck

__all__ = ["print_json", "print_report"]

SHOWN_PLACES = 5
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow"}


def print_json(check: SiteCheck) -> None:
    """Print one JSON object with `ok`, `pages`, `avatars` and `findings`."""
    report = {
        "ok": not _errors(check.findings),
        "pages": check.pages,
        "avatars": check.avatars,
        "findings": [asdict(finding) for finding in check.findings],
    }
    print(json.dumps(report, indent=2))  # noqa: T201 - the command line


def print_report(check: SiteCheck) -> None:
    """Print each kind of problem once, with the places where it was found and how to fix it."""
    console = Console(highlight=False)
    kinds: dict[tuple[str, str, str, Severity], list[str]] = {}
    for finding in check.findings:
        kind = (finding.code, finding.what, finding.fix, finding.severity)
        kinds.setdefault(kind, []).append(finding.where)
    # Errors first, because they fail the check.
    for (code, what, fix, severity), places in sorted(kinds.items(), key=lambda kind: kind[0][3]):
        more = len(places) - SHOWN_PLACES
        where = ", ".join(places[:SHOWN_PLACES]) + (f" and {more} more" if more > 0 else "")
        console.print(Text(severity, _STYLES[severity]), Text(code, "bold"), sep="  ")
        _print(console, "", f"{where}: {what}")
        _print(console, "-> ", fix, "green")
    errors = len(_errors(check.findings))
    warnings = len(check.findings) - errors
    if check.findings:
        console.print()
    if check.others:
        pages = "HTML page is" if check.others == 1 else "HTML pages are"
        console.print(f"{check.others} other {pages} not of the build, and not compared")
    console.print(
        f"{_count(check.pages, 'page')}, {check.avatars} with an avatar: "
        + (
            f"{_count(errors, 'error')}, {_count(warnings, 'warning')}"
            if check.findings
            else "no problems"
        )
    )


def _print(console: Console, mark: str, line: str, style: str = "") -> None:
    """Print an indented line, broken between words at a terminal, whole elsewhere."""
    if not console.is_terminal:
        console.print(Text(f"  {mark}{line}", style), soft_wrap=True)
        return
    grid = Table.grid()
    grid.add_row(Text(f"  {mark}", style), Text(line, style, overflow="fold"))
    console.print(grid)


def _errors(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def _count(number: int, name: str) -> str:
    return f"{number or 'no'} {name}{'' if number == 1 else 's'}"
