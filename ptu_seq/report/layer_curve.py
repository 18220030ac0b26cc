"""Freezing and tuning layer by layer (Yosinski et al. 2014), beside what the gates learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ptu_seq.report.gate_shares import Sites, shares_by_site
from ptu_seq.report.metrics import Metric
from ptu_seq.report.panels import make_panels, save_figure, write_numbers
from ptu_seq.report.results import Size
from ptu_seq.report.style import GRID

SEARCH = "layer_search"


class LayerCurve(NamedTuple):
    """Validation scores of networks of which `n` layers come from the source, `n` from 0 up.

    Attributes:
        target: the target's name.
        size: its training examples.
        frozen: by `n`, with these layers frozen and the others random: Yosinski's AnB.
        tuned: with them tuned: his AnB+.
    """

    target: str
    size: Size
    frozen: dict[int, float]
    tuned: dict[int, float]


def layer_curves(trials: Sequence[Mapping[str, Any]]) -> list[LayerCurve]:
    """The curves that the trials of `layer_search` hold; of several learning rates the best.

    Args:
        trials: lines of `tuning.jsonl`.

    Example:
        >>> line = {"method": "layer_search", "target": "trec", "size": 100}
        >>> cuts = [(0, 0, 0.5), (0, 1, 0.6), (1, 0, 0.55)]
        >>> [curve] = layer_curves([
        ...     {**line, "setting": {"frozen": f, "tuned": t}, "validation_score": score}
        ...     for f, t, score in cuts
        ... ])
        >>> curve.frozen, curve.tuned
        ({0: 0.5, 1: 0.55}, {0: 0.5, 1: 0.6})
    """
    curves: dict[tuple[str, Size], LayerCurve] = {}
    for trial in trials:
        setting = trial["setting"]
        if trial["method"] != SEARCH or not {"frozen", "tuned"} <= setting.keys():
            continue
        cell = (trial["target"], trial["size"])
        curve = curves.setdefault(cell, LayerCurve(*cell, {}, {}))
        frozen, tuned, score = setting["frozen"], setting["tuned"], trial["validation_score"]
        if tuned == 0:
            curve.frozen[frozen] = max(score, curve.frozen.get(frozen, score))
        if frozen == 0:
            curve.tuned[tuned] = max(score, curve.tuned.get(tuned, score))
    return [
        curve._replace(frozen=dict(sorted(curve.frozen.items())), tuned=_sorted(curve.tuned))
        for curve in curves.values()
    ]


def plot_layer_curves(
    curves: Sequence[LayerCurve],
    gates: Mapping[tuple[str, Size], Sequence[Sites]],
    metric: Metric,
    path: str | Path,
) -> Path:
    """Draws the curves, a panel a cell, and beneath each the shares that the units gave the source.

    Args:
        curves: at least one.
        gates: of the cells where `ptu` ran too, the `sites` of each seed.
        metric: of the scores.
        path: the PNG file to write; its numbers go to the CSV file of the same name.

    Returns:
        `path`.
    """
    from matplotlib.lines import Line2D

    titles = [f"{curve.target}, {curve.size}" for curve in curves]
    columns = len(curves)
    figure, axes, _ = make_panels([*titles, *[""] * columns], height=2.4, columns=columns)
    styles: dict[str, dict[str, Any]] = {
        "frozen": {"color": "#56b4e9", "marker": "s", "linestyle": "--"},
        "tuned": {"color": "#0072b2", "marker": "D", "linestyle": "-"},
    }
    rows: list[list[Any]] = []
    for curve, title, upper, lower in zip(
        curves, titles, axes[:columns], axes[columns:], strict=True
    ):
        for name, style in styles.items():
            at = getattr(curve, name)
            upper.plot(list(at), [metric.scale * score for score in at.values()], **style)
            rows += [[title, f"{name} layers", n, f"{metric.scale * s:.3f}"] for n, s in at.items()]
        upper.set_xticks(list(curve.tuned))
        upper.set_xlabel("layers from the source, from the input up")
        upper.grid(axis="y", color=GRID)
        shares = shares_by_site(gates.get((curve.target, curve.size), []))
        from_source = [1 - share["target"] for share in shares.values()]
        lower.bar(range(len(shares)), from_source, color="#d55e00", width=0.6)
        lower.set_xticks(range(len(shares)), list(shares), rotation=25, ha="right")
        lower.set_ylim(0, 1)
        lower.grid(axis="y", color=GRID)
        rows += [
            [title, "share of the source", s, f"{1 - x['target']:.4f}"] for s, x in shares.items()
        ]
    axes[0].set_ylabel(f"validation {metric.axis}")
    axes[columns].set_ylabel("from the source")
    write_numbers(path, ["cell", "what", "layers or site", "value"], rows)
    handles = [Line2D([], [], label=f"{name} layers", **style) for name, style in styles.items()]
    return save_figure(figure, handles, path)


def _sorted(scores: dict[int, float]) -> dict[int, float]:
    return dict(sorted(scores.items()))
