"""Freezing and tuning layer by layer (Yosinski et al. 2014), beside what the gates learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scipy import stats

from ptu_seq.report.gate_shares import Sites, shares_by_site
from ptu_seq.report.metrics import Metric
from ptu_seq.report.panels import make_panels, save_figure, write_numbers
from ptu_seq.report.results import Size
from ptu_seq.report.style import GRID

SEARCH = "layer_search"

#: Of two layers any order is a perfect one.
FEWEST_LAYERS = 3

STYLES: dict[str, dict[str, Any]] = {
    "frozen": {"color": "#56b4e9", "marker": "s", "linestyle": "--"},
    "tuned": {"color": "#0072b2", "marker": "D", "linestyle": "-"},
}


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
        setting = trial.get("setting", {})
        if trial.get("method") != SEARCH or not {"frozen", "tuned"} <= setting.keys():
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


def agreement(curve: LayerCurve, shares: Mapping[str, Mapping[str, float]]) -> str:
    """Whether the units take most from the source where freezing a layer gains most, in words.

    What the `k`-th layer gains is the score with `k` layers frozen less that with `k - 1`. Sites
    are matched with layers from the input up; a last site on the logits has no layer.

    Args:
        curve: of the cell.
        shares: of its sites, see :func:`~ptu_seq.report.gate_shares.shares_by_site`.

    Example:
        >>> curve = LayerCurve("trec", 100, {0: 0.5, 1: 0.6, 2: 0.6, 3: 0.4}, {})
        >>> shares = {"a": 0.2, "b": 0.5, "c": 0.9}
        >>> agreement(curve, {site: {"target": share} for site, share in shares.items()})
        'trec, 100: over 3 layers, the share of the source rises with what freezing a layer gains \
(Spearman’s rank correlation 1.00).'
    """
    layers = sorted(curve.frozen)[1:]
    place = f"{curve.target}, {curve.size}"
    if len(layers) < FEWEST_LAYERS or len(shares) not in (len(layers), len(layers) + 1):
        return f"{place}: too few layers, or sites that are no layers, to say whether they agree."
    gains = [curve.frozen[n] - curve.frozen[n - 1] for n in layers]
    from_source = [1 - share["target"] for share in shares.values()][: len(layers)]
    if len(set(gains)) == 1 or len(set(from_source)) == 1:
        return f"{place}: all layers are alike, so that there is no order to agree on."
    correlation = float(stats.spearmanr(gains, from_source).statistic)
    course = (
        "rises" if correlation > 0 else "falls" if correlation < 0 else "neither rises nor falls"
    )
    return (
        f"{place}: over {len(layers)} layers, the share of the source {course} with what freezing "
        f"a layer gains (Spearman’s rank correlation {correlation:.2f})."
    )


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
    shares = [shares_by_site(gates.get((curve.target, curve.size), [])) for curve in curves]
    columns = len(curves)
    beneath = [""] * columns if any(shares) else []
    figure, axes, _ = make_panels([*titles, *beneath], height=2.4, columns=columns)
    rows: list[list[Any]] = []
    for curve, title, ax in zip(curves, titles, axes, strict=False):
        for name, style in STYLES.items():
            at = {n: metric.scale * score for n, score in getattr(curve, name).items()}
            ax.plot(list(at), list(at.values()), **style)
            rows += [[title, f"{name} layers", n, f"{score:.3f}"] for n, score in at.items()]
        ax.set_xticks(list(curve.tuned))
        ax.set_xlabel("layers from the source, from the input up")
        ax.grid(axis="y", color=GRID)
    for of_cell, title, ax in zip(shares, titles, axes[columns:], strict=False):
        from_source = {site: 1 - share["target"] for site, share in of_cell.items()}
        ax.bar(range(len(from_source)), list(from_source.values()), color="#d55e00", width=0.6)
        ax.set_xticks(range(len(from_source)), list(from_source), rotation=25, ha="right")
        ax.set_ylim(0, 1)
        ax.grid(axis="y", color=GRID)
        rows += [[title, "share of the source", s, f"{x:.4f}"] for s, x in from_source.items()]
    axes[0].set_ylabel(f"validation {metric.axis}")
    if beneath:
        axes[columns].set_ylabel("from the source")
    write_numbers(path, ["cell", "what", "layers or site", "value"], rows)
    handles = [Line2D([], [], label=f"{name} layers", **style) for name, style in STYLES.items()]
    return save_figure(figure, handles, path)


def _sorted(scores: dict[int, float]) -> dict[int, float]:
    return dict(sorted(scores.items()))
