"""Plots of a report as SVG, to stand in a page."""
from __future__ import annotations

import html
import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .attributes import TIMES, over_time
from .report import Report
from .scores import VideoScores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_BARS = 40
MAX_NAME = 24  # characters
J_COLOUR, F_COLOUR, LINE_COLOUR = '#4a7fc1', '#d0812b', '#8a8a8a'
# Inches. Narrow, so that the text can still be read on a phone.
FIGURE_WIDTH = 4.6
# Text is black to matplotlib; the page's style gives it the colour of its own text.
STYLE = {
    'svg.fonttype': 'none', 'font.size': 9, 'figure.facecolor': 'none', 'axes.facecolor': 'none',
    'axes.edgecolor': LINE_COLOUR, 'xtick.color': LINE_COLOUR, 'ytick.color': LINE_COLOUR,
    'xtick.labelcolor': 'black', 'ytick.labelcolor': 'black', 'grid.color': LINE_COLOUR,
    'grid.alpha': 0.3, 'axes.grid': True, 'axes.axisbelow': True, 'axes.spines.top': False,
    'axes.spines.right': False, 'legend.frameon': False,
}


def worst_sequences(report: Report) -> list[tuple[str, float, float]]:
    """Return (video, J, F) of the videos that have a J, by J, the worst first."""
    found = [(name, row['J'], row['F']) for name, row in report.rows.items()
             if not math.isnan(row['J'])]
    return sorted(found, key=lambda row: row[1])[:MAX_BARS]


def bars_per_sequence(report: Report) -> str:
    """Return the plot of J (bars) and F (dots) of the worst sequences."""
    names, j, f = zip(*worst_sequences(report), strict=True)

    def draw(figure: Figure) -> None:
        axes, rows = figure.add_subplot(), range(len(names))
        bars = axes.barh(rows, j, height=0.65, color=J_COLOUR)
        dots, = axes.plot(f, rows, 'o', color=F_COLOUR, markersize=4.5, clip_on=False)
        for row, value in zip(rows, j, strict=True):
            axes.text(1.03, row, f'{value:.3f}', va='center_baseline')
        axes.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.6), xticks=np.linspace(0, 1, 6))
        axes.set_yticks(rows, labels=[_short(name) for name in names], parse_math=False)
        axes.tick_params(axis='y', length=0)
        axes.grid(visible=False, axis='y')
        figure.legend(handles=[bars, dots], labels=['J', 'F'], loc='outside upper left', ncols=2)

    return _svg(draw, 0.75 + 0.2 * len(names), 'J and F of each sequence')


def scores_over_time(videos: Sequence[VideoScores]) -> str:
    """Return the plot of J and F in the tenths of each object's counted frames.

    Lines are means over objects, the band goes from the lower to the upper quartile of J.
    """
    j, f = over_time(videos)
    there = np.flatnonzero(~np.isnan(j).all(0))
    low, high = np.nanpercentile(j[:, there], (25, 75), axis=0)
    middles = (there + 0.5) * 100 / len(TIMES)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.fill_between(middles, low, high, color=J_COLOUR, alpha=0.25, linewidth=0,
                          label='quartiles of J')
        axes.plot(middles, np.nanmean(j[:, there], 0), 'o-', color=J_COLOUR, markersize=4,
                  label='J')
        axes.plot(middles, np.nanmean(f[:, there], 0), 's--', color=F_COLOUR, markersize=3,
                  linewidth=1, label='F')
        axes.set(xlim=(0, 100), ylim=(0, 1.02), xticks=range(0, 101, 20),
                 xlabel="% of an object's counted frames")
        figure.legend(loc='outside upper left', ncols=3)

    return _svg(draw, 2.8, 'J and F over time')


def plain(name: str) -> str:
    """Return a name that UTF-8 can hold: file names may have any bytes."""
    return name.encode('utf-8', 'backslashreplace').decode()


def _short(name: str) -> str:
    """Return a name that leaves room for its bar: both ends, as either may tell videos apart."""
    name = plain(name)
    half = MAX_NAME // 2
    return name if len(name) <= MAX_NAME else f'{name[:half]}\u2026{name[1 - half:]}'


def _svg(draw: Callable[[Figure], None], height: float, title: str) -> str:
    """Return a figure as an SVG element without size, which the page gives it."""
    with _matplotlib({**STYLE, 'svg.hashsalt': title}) as new_figure:
        figure = new_figure((FIGURE_WIDTH, height))
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format='svg', metadata=dict.fromkeys(
            ('Creator', 'Date', 'Format', 'Type')))
    text = buffer.getvalue()
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None
    # Without the groups' ids, which every figure has, and without what is one per document.
    body = re.sub(r'<style.*?</style>', '', text[text.index('>', box.end()) + 1:], flags=re.S)
    body = re.sub(r'<g id="[^"]*"', '<g', body)
    body = re.sub(r'font-family: [^;"]*;? ?', '', body)
    return f'<svg {box[0]} role="img" aria-label="{html.escape(title)}">{body.rstrip()}'


@contextmanager
def _matplotlib(style: Any) -> Iterator[Callable[[tuple[float, float]], Figure]]:
    """Yield a function that makes a figure; neither pyplot nor the user's settings are touched."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        # A reader's font may have what matplotlib's lacks.
        warnings.filterwarnings('ignore', 'Glyph .* missing from font')
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(style)
        yield lambda size: Figure(size, layout='constrained')
