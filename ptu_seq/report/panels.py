"""Figures of several panels that look alike, and the numbers beside them.

matplotlib is imported where a figure is made, and its global state (pyplot) is never touched.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptu_seq.report.fonts import write_png
from ptu_seq.report.style import INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def make_panels(
    titles: Sequence[str], height: float, columns: int | None = None
) -> tuple[Figure, list[Axes], int]:
    """A figure with a titled panel each, the list of them and the number of columns.

    Args:
        titles: of the panels.
        height: of a panel, in inches.
        columns: of panels; as many as look well if None.
    """
    from matplotlib.figure import Figure

    if columns is None:
        columns = 2 if len(titles) == 4 else min(3, len(titles))
    rows = math.ceil(len(titles) / columns)
    figure = Figure(figsize=(max(5.0, 3.6 * columns), height * rows + 0.4), layout="constrained")
    figure.get_layout_engine().set(hspace=0.07, wspace=0.04)  # type: ignore[union-attr,call-arg]
    axes = []
    for i, title in enumerate(titles):
        ax = figure.add_subplot(rows, columns, i + 1)
        title = title if len(title) <= 32 else f"…{title[-31:]}"  # the end of a path tells most
        style: dict[str, Any] = {"fontsize": 10.5, "fontweight": "bold", "color": INK}
        ax.set_title(title, loc="left", parse_math=False, **style)  # "$" may be in a folder's name
        ax.tick_params(colors=MUTED, labelsize=9, length=0)
        ax.xaxis.label.set(color=MUTED, fontsize=9.5)
        ax.yaxis.label.set(color=MUTED, fontsize=9.5)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.spines["bottom"].set_color("#b8bcc2")
        ax.set_axisbelow(True)
        axes.append(ax)
    return figure, axes, columns


def save_figure(figure: Figure, handles: Sequence[Any], path: str | Path) -> Path:
    """Writes the figure with a legend above its panels, and returns the path."""
    if handles:
        figure.legend(
            handles=handles,
            loc="outside upper center",
            ncols=min(len(handles), 4 if figure.get_figwidth() < 8 else 8),
            frameon=False,
            fontsize=9.5,
            labelcolor=INK,
        )
    return write_png(figure, path)


def write_numbers(figure: str | Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """Writes what a figure shows as a CSV file of its name beside it, and returns the path."""
    path = Path(figure).with_suffix(".csv")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return path
