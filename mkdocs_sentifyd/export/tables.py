"""Bring the cells of a table into rows of the same length, as tables in Markdown need them."""

from __future__ import annotations

from collections.abc import Callable

from bs4 import Tag

__all__ = ["table_rows"]

# Browsers read no larger `colspan` (HTML Standard, section 4.9.11), but this is wide enough here.
MAX_SPAN = 100


def table_rows(table: Tag, text_of: Callable[[Tag], str]) -> list[list[str]]:
    """Return the texts of a table's cells; the first row is its head.

    A cell that spans several columns is followed by empty ones. The head of a table without one is
    empty.

    Args:
        table: a `<table>`.
        text_of: returns the text of a cell.
    """
    rows: list[list[str]] = []
    has_head = False
    for row in table.find_all("tr"):
        if row.find_parent("table") is not table:
            continue
        cells = row.find_all(["td", "th"], recursive=False)
        if not rows:
            has_head = all(cell.name == "th" for cell in cells)
        rows.append([text for cell in cells for text in [text_of(cell), *_filler(cell)]])
    rows = [row for row in rows if row]
    width = max(map(len, rows), default=0)
    if rows and not has_head:
        rows.insert(0, [])
    return [row + [""] * (width - len(row)) for row in rows]


def _filler(cell: Tag) -> list[str]:
    span = str(cell.get("colspan") or 1)
    return [""] * (min(int(span), MAX_SPAN) - 1 if span.isdecimal() else 0)
