"""The test score against the target's size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptu_seq.report.panels import make_panels, save_figure, write_numbers
from ptu_seq.report.results import Size, order_sizes
from ptu_seq.report.style import GRID, method_styles
from ptu_seq.report.tables import cell_label, methods_of, metric_of, score_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Summary = dict[str, Any]


def plot_scores(summary: Summary, path: str | Path) -> Path:
    """Draws the score against the target's size, a panel a target, a line a method.

    Points are means over seeds and bars the standard deviation. Sizes lie on a logarithmic axis;
    "all", whose size a summary does not know, lies to the right of the others on a dotted line.

    Args:
        summary: content of `summary.json`.
        path: the PNG file to write; its numbers go to the CSV file of the same name.

    Returns:
        `path`.
    """
    from matplotlib.lines import Line2D

    panels: dict[str, list[dict[str, Any]]] = {}
    for (source, target, _), row in score_rows(summary):
        panels.setdefault(cell_label(summary, source, target), []).extend(row.values())
    methods, metric = methods_of(summary), metric_of(summary)
    styles = method_styles(methods)
    figure, axes, columns = make_panels(list(panels), height=3.1)
    for ax, cells in zip(axes, panels.values(), strict=True):
        _score_panel(ax, cells, styles, metric.scale)
    for ax in axes[::columns]:
        ax.set_ylabel(f"test {metric.axis}")
    for ax in axes[-columns:]:
        ax.set_xlabel(f"training {metric.task.examples} of the {metric.task.target}")
    write_numbers(
        path,
        ["target", "size", "method", "mean", "std", "seeds"],
        [
            [
                *(title, cell["size"], cell["method"], f"{metric.scale * cell['mean']:.3f}"),
                "" if cell["std"] is None else f"{metric.scale * cell['std']:.3f}",
                len(cell["scores"]),
            ]
            for title, cells in panels.items()
            for cell in cells
        ],
    )
    return save_figure(figure, [Line2D([], [], label=m, **styles[m]) for m in methods], path)


def _score_panel(
    ax: Axes, cells: Sequence[dict[str, Any]], styles: Mapping[str, dict[str, Any]], scale: float
) -> None:
    sizes = order_sizes(cell["size"] for cell in cells)
    at = _size_positions(sizes)
    span = math.log10(max(at.values()) / min(at.values())) or 1.0
    ax.set_xscale("log")
    ax.set_xlim(min(at.values()) / 10 ** (0.12 * span), max(at.values()) * 10 ** (0.12 * span))
    for i, (method, style) in enumerate(styles.items()):
        own = {cell["size"]: cell for cell in cells if cell["method"] == method}
        here = [size for size in sizes if size in own]
        # Methods stand side by side, so that their bars do not hide each other.
        dodge = 10 ** ((i - (len(styles) - 1) / 2) * 0.018 * span)
        x = [at[size] * dodge for size in here]
        y = [scale * own[size]["mean"] for size in here]
        std = [scale * (own[size]["std"] or 0.0) for size in here]
        solid = [k for k, size in enumerate(here) if size != "all"]
        line = {"color": style["color"], "linewidth": style["linewidth"], "zorder": style["zorder"]}
        ax.plot(x, y, linestyle=(0, (1, 1.6)), **line)
        ax.plot([x[k] for k in solid], [y[k] for k in solid], **line)
        ax.errorbar(x, y, yerr=std, capsize=2.5, elinewidth=1.1, **{**style, "linestyle": "none"})
    ax.set_xticks(list(at.values()), [f"{s:,}" if isinstance(s, int) else s for s in at])
    ax.minorticks_off()
    ax.grid(axis="y", color=GRID)


def _size_positions(sizes: Sequence[Size]) -> dict[Size, float]:
    """Where each size lies on the axis; "all" as far from the last number as that from its own."""
    numbers = [size for size in sizes if isinstance(size, int)]
    ratio = numbers[-1] / numbers[-2] if len(numbers) > 1 else 4.0
    beyond = numbers[-1] * max(ratio, 2.0) if numbers else 1.0
    return {size: float(size) if isinstance(size, int) else beyond for size in sizes}
