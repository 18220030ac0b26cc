"""Figures of a run: scores against target size, ranks, and what the gates settled on.

matplotlib is imported where a figure is made, and its global state (pyplot) is never touched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptu_seq.report.critical_difference import plot_critical_difference
from ptu_seq.report.results import Result, Size, cell_key, order_sizes, read_gates
from ptu_seq.report.style import DPI, GRID, INK, MUTED, method_styles
from ptu_seq.report.tables import cell_label, methods_of, metric_of, score_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Summary = dict[str, Any]
Sites = Sequence[Mapping[str, Any]]

GATES = {"fine_tune": ("fine-tune gate", "#0072b2"), "update": ("update gate", "#d55e00")}


def write_figures(
    output_dir: str | Path, summary: Summary, results: Sequence[Result]
) -> list[Path]:
    """Draws `figures/scores.png`, and `critical_difference.png` and `gates.png` if there are any.

    The second where at least three methods are ranked over at least five cells, the third where a
    method has gates.

    Args:
        output_dir: the folder with `gates/`.
        summary: content of its `summary.json`.
        results: its finished runs, which say whose gates a file holds.

    Returns:
        The files written.
    """
    folder = Path(output_dir) / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    written = [plot_scores(summary, folder / "scores.png")]
    ranking = (summary.get("overall") or {}).get("ranking")
    if ranking and ranking["groups"] is not None:
        written.append(plot_critical_difference(ranking, folder / "critical_difference.png"))
    gates: dict[str, list[Sites]] = {}
    # In the order of the table.
    for cell in summary["cells"]:
        for run in results:
            if (*cell_key(run), run["method"]) == (*cell_key(cell), cell["method"]):
                sites = read_gates(output_dir, run["run_id"])
                if sites:
                    gates.setdefault(_gates_label(summary, cell), []).append(sites)
    if gates:
        written.append(plot_gates(gates, folder / "gates.png"))
    return written


def plot_scores(summary: Summary, path: str | Path) -> Path:
    """Draws the score against the target's size, a panel a target, a line a method.

    Points are means over seeds and bars the standard deviation. Sizes lie on a logarithmic axis;
    "all", whose size a summary does not know, lies to the right of the others on a dotted line.

    Args:
        summary: content of `summary.json`.
        path: the PNG file to write.

    Returns:
        `path`.
    """
    from matplotlib.lines import Line2D

    panels: dict[str, list[dict[str, Any]]] = {}
    for (source, target, _), row in score_rows(summary):
        panels.setdefault(cell_label(summary, source, target), []).extend(row.values())
    methods, metric = methods_of(summary), metric_of(summary)
    styles = method_styles(methods)
    figure, axes, columns = _panels(list(panels), height=3.1)
    for ax, cells in zip(axes, panels.values(), strict=True):
        _score_panel(ax, cells, styles, metric.scale)
    for ax in axes[::columns]:
        ax.set_ylabel(f"test {metric.axis}")
    for ax in axes[-columns:]:
        ax.set_xlabel(f"training {metric.task.examples} of the {metric.task.target}")
    return _save(figure, [Line2D([], [], label=m, **styles[m]) for m in methods], path)


def plot_gates(gates: Mapping[str, Sequence[Sites]], path: str | Path) -> Path:
    """Draws both gates at each site, a panel a cell: distribution, mean and standard deviation.

    At each site the fine-tune gate lies on the left and the update gate on the right: the shape is
    the distribution over neurons, positions and test examples, the dot its mean, the bar one
    standard deviation to each side; all over the seeds together.

    Args:
        gates: for each panel's title, the `sites` of one `gates/<run_id>.json` a seed.
        path: the PNG file to write.

    Returns:
        `path`.
    """
    from matplotlib.lines import Line2D

    figure, axes, columns = _panels(list(gates), height=2.8)
    for ax, seeds in zip(axes, gates.values(), strict=True):
        _gate_panel(ax, seeds)
    for ax in axes[::columns]:
        ax.set_ylabel("gate")
    handles = [
        Line2D([], [], color=colour, marker="o", linewidth=5, alpha=0.8, label=f"{name} ({side})")
        for (name, colour), side in zip(GATES.values(), ("left", "right"), strict=True)
    ]
    return _save(figure, handles, path)


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


def _gate_panel(ax: Axes, seeds: Sequence[Sites]) -> None:
    names = [site["site"] for site in seeds[0]]
    for i, name in enumerate(names):
        runs = [site for sites in seeds for site in sites if site["site"] == name]
        for side, (gate, (_, colour)) in zip((-1, 1), GATES.items(), strict=True):
            means = np.array([run[gate]["mean"] for run in runs])
            stds = np.array([run[gate]["std"] for run in runs])
            spread = math.sqrt(np.mean(stds**2) + np.var(means))
            counts = np.mean([run[gate]["histogram"] for run in runs], axis=0)
            edges = np.linspace(0, 1, len(counts) + 1)
            # The last width twice: a step reaches to the next edge, and the last edge has none.
            width = np.append(counts, counts[-1]) / max(counts.max(), 1e-12) * 0.4
            shape = i + side * (0.03 + width)
            ax.fill_betweenx(
                edges, i + side * 0.03, shape, step="post", color=colour, alpha=0.3, lw=0
            )
            low, high = max(0.0, means.mean() - spread), min(1.0, means.mean() + spread)
            ax.plot([i + side * 0.09] * 2, [low, high], color=colour, linewidth=1.6)
            ax.plot(i + side * 0.09, means.mean(), "o", color=colour, mec="white", markersize=6.5)
    ax.set_ylim(-0.02, 1.02)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_xticks(range(len(names)), names)
    if sum(len(name) for name in names) > 34:
        for label in ax.get_xticklabels():
            label.set(rotation=25, ha="right", rotation_mode="anchor")
    ax.grid(axis="y", color=GRID)


def _gates_label(summary: Summary, cell: Mapping[str, Any]) -> str:
    size = f"{cell['size']:,}" if isinstance(cell["size"], int) else cell["size"]
    label = f"{cell_label(summary, cell['source'], cell['target'])}, {size}"
    return label if cell["method"] == "ptu" else f"{label}, {cell['method']}"


def _panels(titles: Sequence[str], height: float) -> tuple[Figure, list[Axes], int]:
    """A figure with a titled panel each, the list of them and the number of columns."""
    from matplotlib.figure import Figure

    columns = 2 if len(titles) == 4 else min(3, len(titles))
    rows = math.ceil(len(titles) / columns)
    figure = Figure(figsize=(max(5.0, 3.6 * columns), height * rows + 0.4), layout="constrained")
    figure.get_layout_engine().set(hspace=0.07, wspace=0.04)  # type: ignore[union-attr,call-arg]
    axes = []
    for i, title in enumerate(titles):
        ax = figure.add_subplot(rows, columns, i + 1)
        title = title if len(title) <= 32 else f"…{title[-31:]}"  # the end of a path tells most
        ax.set_title(title, fontsize=10.5, color=INK, loc="left", fontweight="bold")
        ax.tick_params(colors=MUTED, labelsize=9, length=0)
        ax.xaxis.label.set(color=MUTED, fontsize=9.5)
        ax.yaxis.label.set(color=MUTED, fontsize=9.5)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.spines["bottom"].set_color("#b8bcc2")
        ax.set_axisbelow(True)
        axes.append(ax)
    return figure, axes, columns


def _save(figure: Figure, handles: Sequence[Any], path: str | Path) -> Path:
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=min(len(handles), 4 if figure.get_figwidth() < 8 else 8),
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
    )
    figure.savefig(path, dpi=DPI, facecolor="white")
    return Path(path)
