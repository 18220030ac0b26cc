"""The gates of one run closely: by neuron, along the sentence, and while it was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptu_seq.report.panels import make_panels, save_figure, write_numbers
from ptu_seq.report.style import GRID, INK, MUTED

Arrays = Mapping[str, NDArray[Any]]

GATES = {"update": "update gate", "fine_tune": "fine-tune gate"}
#: Told apart by colour and by line: sites beyond these repeat them.
LINES = (
    ("#0072b2", "-"),
    ("#d55e00", "--"),
    ("#009e73", "-."),
    ("#cc79a7", ":"),
    ("#e69f00", (0, (5, 1))),
    ("#56b4e9", (0, (1, 1))),
)
#: Steps that fewer sentences than this reach are not drawn: their mean is of too few.
FEWEST = 5


def sites_of(arrays: Arrays, name: str) -> list[str]:
    """The sites that have an array of this name, in the order of the file.

    Example:
        >>> arrays = {"rnn/update/step_mean": np.zeros(2), "logits/update/neuron_mean": np.ones(1)}
        >>> sites_of(arrays, "step_mean")
        ['rnn']
    """
    return list(dict.fromkeys(key.split("/")[0] for key in arrays if key.endswith(f"/{name}")))


def plot_neurons(arrays: Arrays, sites: Sequence[str], path: str | Path) -> Path:
    """Draws every neuron's mean gates, a panel a site, ordered by the update gate.

    Args:
        arrays: of `gates/<run_id>.safetensors`.
        sites: from the input upwards.
        path: the PNG file to write; its numbers go to the CSV file of the same name.

    Returns:
        `path`.
    """
    figure, axes, _ = make_panels(list(sites), height=1.15, columns=1)
    rows: list[list[Any]] = []
    image: Any = None
    for ax, site in zip(axes, sites, strict=True):
        update, fine_tune = (arrays[f"{site}/{gate}/neuron_mean"] for gate in GATES)
        order = np.argsort(-update, kind="stable")
        strips = np.stack([update[order], fine_tune[order]])
        image = ax.imshow(
            strips, aspect="auto", cmap="cividis", vmin=0, vmax=1, interpolation="nearest"
        )
        ax.set_yticks([0, 1], list(GATES.values()))
        ax.set_xticks([])
        ax.spines["bottom"].set_visible(False)
        rows += [
            [site, int(neuron), f"{update[neuron]:.4f}", f"{fine_tune[neuron]:.4f}"]
            for neuron in order
        ]
    axes[-1].set_xlabel("neurons, by their update gate")
    bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01, ticks=[0, 0.5, 1])
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=MUTED, labelsize=9, length=0)
    write_numbers(path, ["site", "neuron", *GATES], rows)
    return save_figure(figure, [], path)


def plot_steps(arrays: Arrays, path: str | Path) -> Path:
    """Draws the mean of both gates along the sentence, a line a site.

    Args:
        arrays: of `gates/<run_id>.safetensors`, with at least one site that sees tokens.
        path: the PNG file to write; its numbers go to the CSV file of the same name.

    Returns:
        `path`.
    """
    sites = sites_of(arrays, "step_mean")
    figure, axes, _ = make_panels(list(GATES.values()), height=2.7)
    rows: list[list[Any]] = []
    for ax, gate in zip(axes, GATES, strict=True):
        for site, (colour, line) in _lines(sites):
            counts = arrays[f"{site}/{gate}/step_count"]
            steps = np.flatnonzero(counts >= FEWEST)
            means = arrays[f"{site}/{gate}/step_mean"][steps]
            ax.plot(steps + 1, means, color=colour, linestyle=line, linewidth=1.7)
            rows += [
                [site, gate, int(step) + 1, f"{mean:.4f}", int(counts[step])]
                for step, mean in zip(steps, means, strict=True)
            ]
        _between_0_and_1(ax)
        ax.set_xlabel("position of the token")
    write_numbers(path, ["site", "gate", "position", "mean", "sentences"], rows)
    return save_figure(figure, _legend(sites), path)


def plot_training(through_training: Sequence[Mapping[str, Any]], path: str | Path) -> Path:
    """Draws the mean of both gates at every evaluation of the training, a line a site.

    Args:
        through_training: of `gates/<run_id>.json`.
        path: the PNG file to write; its numbers go to the CSV file of the same name.

    Returns:
        `path`.
    """
    sites = list(dict.fromkeys(s["site"] for record in through_training for s in record["sites"]))
    figure, axes, _ = make_panels(list(GATES.values()), height=2.7)
    rows: list[list[Any]] = []
    for ax, gate in zip(axes, GATES, strict=True):
        for site, (colour, line) in _lines(sites):
            at = [
                (record["step"], own[gate])
                for record in through_training
                for own in record["sites"]
                if own["site"] == site
            ]
            style = {"color": colour, "linestyle": line, "linewidth": 1.7}
            ax.plot(*zip(*at, strict=True), marker="o", markersize=3.5, **style)
            rows += [[site, gate, step, f"{mean:.4f}"] for step, mean in at]
        _between_0_and_1(ax)
        ax.set_xlabel("training steps")
    write_numbers(path, ["site", "gate", "step", "mean"], rows)
    return save_figure(figure, _legend(sites), path)


def _lines(sites: Sequence[str]) -> list[tuple[str, tuple[str, Any]]]:
    return [(site, LINES[i % len(LINES)]) for i, site in enumerate(sites)]


def _legend(sites: Sequence[str]) -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=colour, linestyle=line, linewidth=1.7, label=site)
        for site, (colour, line) in _lines(sites)
    ]


def _between_0_and_1(ax: Any) -> None:
    ax.set_ylim(-0.02, 1.02)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    ax.grid(axis="y", color=GRID)
    ax.tick_params(labelcolor=INK)
