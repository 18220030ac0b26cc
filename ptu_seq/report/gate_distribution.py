"""How the gates of all cells are distributed, site by site."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ptu_seq.report.gate_shares import Sites
from ptu_seq.report.panels import make_panels, save_figure, write_numbers
from ptu_seq.report.style import GRID

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GATES = {"fine_tune": ("fine-tune gate", "#0072b2"), "update": ("update gate", "#d55e00")}


def plot_gates(gates: Mapping[str, Sequence[Sites]], path: str | Path) -> Path:
    """Draws both gates at each site, a panel a cell: distribution, mean and standard deviation.

    At each site the fine-tune gate lies on the left and the update gate on the right: the shape is
    the distribution over neurons, positions and test examples, the dot its mean, the bar one
    standard deviation to each side; all over the seeds together.

    Args:
        gates: for each panel's title, the `sites` of one `gates/<run_id>.json` a seed.
        path: the PNG file to write; its numbers go to the CSV file of the same name.

    Returns:
        `path`.
    """
    from matplotlib.lines import Line2D

    figure, axes, columns = make_panels(list(gates), height=2.8)
    for ax, seeds in zip(axes, gates.values(), strict=True):
        _gate_panel(ax, seeds)
    for ax in axes[::columns]:
        ax.set_ylabel("gate")
    handles = [
        Line2D([], [], color=colour, marker="o", linewidth=5, alpha=0.8, label=f"{name} ({side})")
        for (name, colour), side in zip(GATES.values(), ("left", "right"), strict=True)
    ]
    write_numbers(
        path,
        ["cell", "seed", "site", "gate", "mean", "std"],
        [
            [title, seed, site["site"], gate, *(f"{site[gate][m]:.4f}" for m in ("mean", "std"))]
            for title, seeds in gates.items()
            for seed, sites in enumerate(seeds)
            for site in sites
            for gate in GATES
        ],
    )
    return save_figure(figure, handles, path)


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
