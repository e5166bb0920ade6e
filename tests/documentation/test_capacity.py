"""The documentation's pages on capacity show the computed figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.capacity import need, rates, shown, tables


def test_pages_show_the_computed_figures(root: Path) -> None:
    folder = root / "example_docs" / "docs" / "deploy"
    page = (folder / "capacity.md").read_text(encoding="utf-8")
    steps = (folder / "capacity-model.md").read_text(encoding="utf-8")
    text = " ".join(f"{page} {steps}".split())
    direct, shared = need(1e6, "direct"), need(1e6, "shared")
    per_second = rates()
    for table in tables():
        assert table in page, "replace the table by that of python -m benchmarks.capacity"
    for figure in (
        f"0.87 of what 64 logins of 30 ms allow: {per_second['direct']:,}.",
        f"7.87 times that: {per_second['shared']:,}.",
        f"÷ 0.656 of that: {per_second['shared_redis']:,}.",
        f"67 visits make {shown(direct.requests)} requests a second",
        f"{shown(direct.cores)} cores are busy",
        f"= {shown(direct.load)} processes; run two",
        f"{shown(shared.present)} visitors have an avatar open",
        f"{shown(shared.present / 10)} of them ask each second",
        f"= {shown(shared.load)} processes.",
    ):
        assert figure in text


def test_need_matches_a_calculation_by_hand() -> None:
    found = need(1e6, "direct")
    assert found.logins == found.requests == pytest.approx(120_000 / 3600 * 2 * (1 + 5 / 60))
    assert found.load == pytest.approx(found.logins * 0.2 / 16)
