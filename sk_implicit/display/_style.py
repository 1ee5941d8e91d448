"""Colours, axes and bands shared by the displays."""

from __future__ import annotations

import numpy as np

# M. Okabe and K. Ito's palette, told apart by colour-blind readers; its yellow is too light for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Quantiles of a band over seeds.
BAND = (0.1, 0.9)


def pyplot():
    """Import matplotlib, late: only a display that is drawn needs it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Displays are drawn with matplotlib, which is not installed: pip install 'sk-implicit[display]'."
        ) from error
    return plt


def axes_or_new(ax, *, figsize=(6.0, 4.2)):
    """Return the given axes, or those of a new figure."""
    if ax is None:
        _, ax = pyplot().subplots(figsize=figsize, layout="constrained")
    return ax


def axes_row(axes, n: int, *, figsize):
    """Return n given axes, or a new row of them."""
    if axes is None:
        _, axes = pyplot().subplots(1, n, figsize=figsize, layout="constrained")
    axes = np.ravel(axes)
    if len(axes) != n:
        raise ValueError(f"ax must be {n} axes, one for each panel, or None; got {len(axes)}.")
    return axes


def next_number(ax) -> int:
    """Return how many curves this package has drawn into the axes, and count one more."""
    number = getattr(ax, "sk_implicit_curves", 0)
    ax.sk_implicit_curves = number + 1
    return number


def colour(number: int) -> str:
    """Return the colour of the curve with this number."""
    return COLOURS[number % len(COLOURS)]


def marker(number: int) -> str:
    """Return the marker of the curve with this number."""
    return MARKERS[number % len(MARKERS)]


def band(values):
    """Return median, lower and upper edge over the last axis, ignoring NaN."""
    values = np.asarray(values, dtype=float)
    low, middle, high = np.nanquantile(values, [BAND[0], 0.5, BAND[1]], axis=-1)
    return middle, low, high


def label_widths(ax, widths):
    """Put the ticks of a logarithmic axis at the widths: all of them, or as many as fit."""
    widths = np.unique(np.asarray(widths))
    shown = widths[:: max(1, -(-len(widths) // 8))]
    ax.set_xticks(shown, [f"{width:g}" for width in shown])
    ax.set_xticks([], minor=True)


def plain_ticks(axis):
    """Write 1, 10, 100 instead of powers along a logarithmic axis."""
    axis.set_major_formatter(lambda value, _: f"{value:g}")


def label_once(ax, label: str, **line):
    """Name, in grey, what lines of every colour have in common; once in these axes."""
    if label not in ax.get_legend_handles_labels()[1]:
        ax.plot([], [], color="0.35", label=label, **line)


def draw_legend(ax, *, last: str | None = None):
    """Draw the legend, where there is something to tell apart; the entry ``last`` stands at its end."""
    entries = sorted(zip(*ax.get_legend_handles_labels()), key=lambda entry: entry[1] == last)
    if entries:
        ax.legend(*zip(*entries), fontsize="small", ncols=2 if len(entries) > 8 else 1)
