"""Draw the plots of the pages on performance from their tables.

Run it in the project's folder after a change of a table: `python -m scripts.plots`. Each plot is an
SVG for the light palette and one for the dark, and contains its numbers as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from benchmarks.environment import ROOT
from benchmarks.published import Published, Spread, read_tables, spread, traffic

__all__ = ["FOLDER", "PALETTES", "PLOTS", "Plot", "draw"]

FOLDER = ROOT / "example_docs" / "docs" / "assets" / "plots"
# In inches. A phone with 360 pixels shows plots at 0.7 times their size, with readable letters.
WIDTH, ROW_HEIGHT = 4.7, 0.5

Numbers = Mapping[str, Mapping[str, Sequence[float]]]


class Palette(NamedTuple):
    """Colours for a page's background.

    Attributes:
        background: background of the page in the theme.
        text: colour of labels and axes.
        faint: colour of grid lines and bands.
        first: first colour of the marks.
        second: second colour of the marks.
    """

    background: str
    text: str
    faint: str
    first: str
    second: str


PALETTES = {
    "light": Palette("#ffffff", "#303030", "#d4d4d4", "#00796b", "#c2570c"),
    "dark": Palette("#1e2129", "#dfe1ea", "#4a4d5a", "#4db6ac", "#ffb066"),
}


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot.

    Attributes:
        numbers: reads the numbers from the pages' tables, by row and series.
        height: height in inches.
        paint: draws the numbers on a figure.
    """

    numbers: Callable[[Sequence[Published]], Numbers]
    height: float
    paint: Callable[[Figure, Numbers, Palette], None]


def draw(plot: Plot, numbers: Numbers, palette: Palette, target: Path) -> None:
    """Write one SVG; the same numbers always give the same file."""
    with mpl.rc_context({"font.size": 11, "font.family": "DejaVu Sans", "svg.hashsalt": "plots"}):
        figure = Figure(figsize=(WIDTH, plot.height), layout="constrained")
        plot.paint(figure, numbers, palette)
        figure.savefig(
            target,
            format="svg",
            transparent=True,
            metadata={"Description": json.dumps(numbers), "Date": None},
        )


def _table(tables: Sequence[Published], heading: str) -> Published:
    return next(one for one in tables if one.heading == heading)


def _build_numbers(tables: Sequence[Published]) -> Numbers:
    table = _table(tables, "Compared with other plugins")
    sizes = [cell.replace("`", "").removesuffix(" pages") for cell in table.header]
    return {
        name: {size: spread(cell) for size, cell in zip(sizes, cells, strict=True)}
        for name, cells in table.rows("Whole build").items()
    }


def _peers_numbers(tables: Sequence[Published]) -> Numbers:
    table = _table(tables, "Compared with the vendor's samples")
    peers = {
        name.strip("`"): dict(zip(("rate", "slowest"), map(spread, cells), strict=True))
        for name, cells in table.rows().items()
    }
    return {"direct": {"rate": Spread(1, 1, 1), "slowest": Spread(1, 1, 1)}, **peers}


def _bytes_numbers(tables: Sequence[Published]) -> Numbers:
    table = _table(tables, "Requests and bytes")
    return {
        name.replace("`", ""): {
            series: [traffic(cell).kilobytes]
            for series, cell in zip(("own", "third", "own, later", "later"), cells, strict=True)
        }
        for name, cells in table.rows().items()
    }


def _paint_numbers(tables: Sequence[Published]) -> Numbers:
    table = _table(tables, "Largest contentful paint")
    return {name.replace("`", ""): {"": spread(row[0])} for name, row in table.rows().items()}


def _rows(axes: Axes, names: Sequence[str], palette: Palette, title: str, size: float = 1) -> None:
    """Prepare the axes for ratios, with each row's name above its marks to fit on a phone."""
    axes.set_ylim(-(len(names) - 1) * size - 0.65 * size, 0.85)
    for number, name in enumerate(names):
        # The opaque background hides lines and bands behind the text.
        axes.text(
            0,
            0.45 - number * size,
            name,
            transform=axes.get_yaxis_transform(),
            color=palette.text,
            bbox={"facecolor": palette.background, "edgecolor": "none", "pad": 2},
        )
    axes.set_yticks([])
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=palette.text)
    axes.tick_params(colors=palette.text)
    axes.grid(axis="x", color=palette.faint, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("left", "top", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(palette.faint)


def _mark(axes: Axes, y: float, found: Sequence[float], color: str, marker: str = "o") -> None:
    """Draw the median, with whiskers to the lowest and the highest round."""
    median, lowest, highest = found
    axes.plot([lowest, highest], [y, y], color=color, linewidth=1.6, solid_capstyle="butt")
    axes.plot([median], [y], color=color, marker=marker, markersize=6, linestyle="none")


def _paint_build(figure: Figure, numbers: Numbers, palette: Palette) -> None:
    axes = figure.subplots()
    _rows(axes, [*numbers], palette, "CPU time of a build,\ndivided by that without", 1.9)
    axes.axvline(1, color=palette.text, linewidth=1)
    series = (("first", "o"), ("first", "s"), ("second", "o"), ("second", "s"))
    for number, sizes in enumerate(numbers.values()):
        for place, ((size, found), (color, marker)) in enumerate(
            zip(sizes.items(), series, strict=True)
        ):
            y = 0.15 - number * 1.9 - place * 0.3
            _mark(axes, y, found, getattr(palette, color), marker)
            if number == 0:
                axes.plot([], [], color=getattr(palette, color), marker=marker, label=size)
    _legend(figure, palette)


def _paint_peers(figure: Figure, numbers: Numbers, palette: Palette) -> None:
    titles = {
        "rate": "Requests a second,\ndivided by direct (more is better)",
        "slowest": "Slowest of a hundred,\ndivided by direct (less is better)",
    }
    for axes, (series, title) in zip(figure.subplots(2), titles.items(), strict=True):
        _rows(axes, [*numbers], palette, title)
        axes.set_xscale("log")
        axes.axvline(1, color=palette.text, linewidth=1)
        for number, (name, found) in enumerate(numbers.items()):
            color = palette.second if "3" in name or "5" in name else palette.first
            _mark(axes, 0.1 - number, found[series], color)
        ticks = (0.5, 1, 2, 5, 10) if series == "rate" else (0.1, 0.2, 0.5, 1, 2)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()


def _paint_bytes(figure: Figure, numbers: Numbers, palette: Palette) -> None:
    axes = figure.subplots()
    _rows(axes, [*numbers], palette, "What a page view adds, in KB")
    looks = {
        "own": ("own site", palette.first, ""),
        "third": ("third party", palette.second, ""),
        "later": ("third party, once opened", "none", "////"),
    }
    for number, values in enumerate(numbers.values()):
        left = 0.0
        for series, (_, color, hatch) in looks.items():
            width = values[series][0]
            if width:
                edge = palette.second if hatch else color
                y = 0.1 - number
                axes.barh(y, width, 0.36, left, color=color, edgecolor=edge, hatch=hatch)
            left += width
    _legend(
        figure,
        palette,
        [
            Patch(
                facecolor=color,
                edgecolor=palette.second if hatch else color,
                hatch=hatch,
                label=label,
            )
            for label, color, hatch in looks.values()
        ],
    )


def _paint_paint(figure: Figure, numbers: Numbers, palette: Palette) -> None:
    axes = figure.subplots()
    _rows(axes, [*numbers], palette, "Largest contentful paint,\ndivided by that without")
    _, lowest, highest = next(iter(numbers.values()))[""]
    axes.axvspan(lowest, highest, color=palette.faint, alpha=0.5, linewidth=0, label="noise")
    axes.axvline(1, color=palette.text, linewidth=1)
    for number, found in enumerate(numbers.values()):
        _mark(axes, 0.1 - number, found[""], palette.first if number else palette.text)
    _legend(figure, palette)


def _legend(figure: Figure, palette: Palette, handles: list[Artist] | None = None) -> None:
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=2,
        frameon=False,
        labelcolor=palette.text,
        handlelength=1.2,
        columnspacing=1.2,
    )


PLOTS = {
    "build": Plot(_build_numbers, 5.2, _paint_build),
    "peers": Plot(_peers_numbers, 6.4, _paint_peers),
    "bytes": Plot(_bytes_numbers, 5.0, _paint_bytes),
    "paint": Plot(_paint_numbers, 5.4, _paint_paint),
}


def main() -> None:
    """Draw every plot in every palette."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    tables = read_tables()
    for name, plot in PLOTS.items():
        numbers = plot.numbers(tables)
        for kind, palette in PALETTES.items():
            draw(plot, numbers, palette, FOLDER / f"{name}-{kind}.svg")
    sys.stdout.write(f"{len(PLOTS) * len(PALETTES)} files in {FOLDER.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
