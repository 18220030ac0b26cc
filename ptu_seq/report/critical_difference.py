"""The critical-difference diagram (Demšar 2006, figure 1): average ranks, and which differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptu_seq.report.panels import save_figure, write_numbers
from ptu_seq.report.style import INK, MUTED, method_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: From one bar to the next, in lines of text. The axis of ranks lies at height 0.
_BAR = 0.45


def plot_critical_difference(ranking: Mapping[str, Any], path: str | Path) -> Path:
    """Draws each method at its average rank, and bars over those that are not apart.

    The best rank is on the left. Above the axis lies the critical difference of Nemenyi's test.

    Args:
        ranking: of :func:`ptu_seq.report.all_cells.overall`, with `groups`.
        path: the PNG file to write; its numbers go to the CSV file of the same name.

    Returns:
        `path`.
    """
    from matplotlib.figure import Figure

    ranks = sorted(ranking["ranks"].items(), key=lambda item: item[1])
    below = 0.7 + _BAR * len(ranking["groups"])
    lines = below + (len(ranks) + 1) // 2
    figure = Figure(figsize=(7.2, 0.9 + 0.3 * lines), layout="constrained")
    ax = figure.add_subplot()
    ax.set_axis_off()
    best, worst = 1.0, float(len(ranks))
    room = 0.42 * (worst - best)
    ax.set_xlim(best - room, worst + room)
    ax.set_ylim(-lines, 2.6)
    _axis(ax, len(ranks))
    _difference(ax, ranking["critical_difference"], best)
    _methods(ax, ranks, below, room)
    for i, group in enumerate(ranking["groups"]):
        ends = [ranking["ranks"][group[0]], ranking["ranks"][group[-1]]]
        y = -0.55 - _BAR * i
        pad = 0.012 * (worst - best)
        ax.plot([ends[0] - pad, ends[1] + pad], [y, y], color=INK, lw=4, solid_capstyle="butt")
    rows = [[method, f"{rank:.4f}"] for method, rank in ranks]
    write_numbers(path, ["method", "average rank"], rows)
    return save_figure(figure, [], path)


def _axis(ax: Axes, methods: int) -> None:
    ax.plot([1, methods], [0, 0], color=INK, linewidth=1.2)
    for rank in range(1, methods + 1):
        ax.plot([rank, rank], [0, 0.3], color=INK, linewidth=1.2)
        ax.text(rank, 0.45, str(rank), ha="center", va="bottom", color=MUTED, fontsize=9)


def _difference(ax: Axes, difference: float, start: float) -> None:
    """The critical difference as a length, above the axis."""
    y = 1.75
    ax.plot([start, start + difference], [y, y], color=MUTED, linewidth=1.6)
    for x in (start, start + difference):
        ax.plot([x, x], [y - 0.18, y + 0.18], color=MUTED, linewidth=1.6)
    words = f"critical difference {difference:.2f}"
    ax.text(start, y + 0.25, words, ha="left", va="bottom", color=MUTED, fontsize=9)


def _methods(ax: Axes, ranks: list[tuple[str, float]], below: float, room: float) -> None:
    """The better half is named on the left, the best uppermost, the others on the right."""
    styles = method_styles([method for method, _ in ranks])
    half = (len(ranks) + 1) // 2
    for i, (method, rank) in enumerate(ranks):
        left = i < half
        y = -below - (i if left else len(ranks) - 1 - i)
        edge = 1 - 0.06 * room if left else len(ranks) + 0.06 * room
        style = styles[method]
        colour = style["color"]
        ax.plot([rank, rank, edge], [0, y, y], color=colour, linewidth=style["linewidth"])
        ax.plot(rank, 0, style["marker"], color=colour, markersize=7, mec="white", clip_on=False)
        name = f"{method}  {rank:.2f}" if left else f"{rank:.2f}  {method}"
        x, side = (edge - 0.04 * room, "right") if left else (edge + 0.04 * room, "left")
        ax.text(x, y, name, ha=side, va="center", color=INK, fontsize=10)
