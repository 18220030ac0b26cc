"""Statistics over all cells of one study or of several: `overall` in `summary.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptu_seq.evaluation import paired_seed_test
from ptu_seq.report.claims import claim
from ptu_seq.report.results import cell_key, is_ptu, order_methods
from ptu_seq.significance import (
    SIGNIFICANT,
    average_ranks,
    critical_difference,
    friedman_test,
    groups_not_apart,
    holm,
    rank_biserial,
    signed_rank_test,
    win_tie_loss,
)

Summary = dict[str, Any]

#: Ranks are tested where there are so many: of fewer, neither test's approximation is any good.
RANKED_METHODS, RANKED_CELLS = 3, 5

#: Of two seeds, hardly any difference over seeds is significant.
SEEDS_MINIMUM = 3


@dataclass
class _Row:
    """A cell of the table: each method's mean and scores, and p of the comparisons made in it."""

    metric: str
    means: dict[str, float] = field(default_factory=dict)
    scores: dict[str, dict[int, float]] = field(default_factory=dict)  # by seed
    p_values: dict[tuple[str, str], float | None] = field(default_factory=dict)


def overall(summaries: Sequence[Summary]) -> dict[str, Any] | None:
    """How methods compare over all cells.

    A cell is a source, target and size of a study, and has one mean score a method. Two tests ask
    whether one method is better than another. Wilcoxon's signed-rank test over cells asks whether
    that would hold for other cells; it takes them as independent, which sizes of one target, whose
    subsets are nested, are not quite. The paired t test over seeds, each of which gives the mean
    difference over all cells, asks whether it would hold if all were trained again; how cells
    depend on each other does not matter to it. What is claimed passes both.

    Wins, ties, losses and ranks do not depend on what the scores are. The tests weigh differences
    by size, so where cells have different metrics (accuracy in one study, BLEU in another) each
    metric's are first divided by the root mean square of the cells' mean differences: metrics
    count alike, and exchanging both methods in a cell still does no more than turn its sign round,
    which is all that the signed-rank test rests on.

    Args:
        summaries: content of one `summary.json` or more; of each the `metric`, `cells` and
            `comparisons`.

    Returns:
        None with fewer than two cells, else a dictionary of

        - `cells`: how many there are
        - `comparisons`: one for each `method` with units `against` each method before it in the
          table, over the `cells` that have both (`left_out`: the others): `wins`, `ties`,
          `losses`; `significant_wins` and `significant_losses` by :func:`joint_p_value`, with
          Holm's correction over the cells; `difference`, the mean in the scores' own scale (null
          where metrics differ); `p_value` of Wilcoxon's signed-rank test (null with fewer than six
          cells); `p_value_seeds` of the t test over seeds (null with fewer than three that all
          cells share, and below six cells); `p_value_holm` and `p_value_seeds_holm`, corrected
          over these comparisons; `effect_size`, the rank-biserial correlation over cells;
          `sentence`, what this says (null without a test)
        - `ranking`: of the `methods` that at least half of the cells have, over the `cells` that
          have all of these: average `ranks` (1 is the best); with at least three methods and five
          cells also `friedman`, the test whether they differ at all, and Nemenyi's
          `critical_difference` with the `groups` of methods that are not apart. null with fewer
          than two methods or cells.

    Example:
        >>> means = {"fine_tune": 0.71, "ptu": 0.74}
        >>> cells = [{"source": "s", "target": target, "size": 100, "method": method,
        ...           "seeds": [0], "scores": [mean], "mean": mean}
        ...          for target in "abcdef" for method, mean in means.items()]
        >>> result = overall([{"metric": "accuracy", "cells": cells, "comparisons": []}])
        >>> result["comparisons"][0]["sentence"]
        'ptu beats fine_tune in 6 of 6 cells (0 ties, 0 losses; p = 0.031, Wilcoxon signed-rank).'
    """
    rows = [row for summary in summaries for row in _rows(summary)]
    if len(rows) < 2:
        return None
    methods = order_methods(method for row in rows for method in row.means)
    comparisons = [
        comparison
        for i, method in enumerate(methods)
        if is_ptu(method)
        for against in methods[:i]
        if (comparison := _compare(rows, method, against))
    ]
    for name in ("p_value", "p_value_seeds"):
        corrected = holm([comparison[name] for comparison in comparisons])
        for comparison, p in zip(comparisons, corrected, strict=True):
            comparison[f"{name}_holm"] = p
    tests = sum(comparison["p_value"] is not None for comparison in comparisons)
    for comparison in comparisons:
        comparison["sentence"] = claim(comparison, tests)
    return {"cells": len(rows), "comparisons": comparisons, "ranking": _ranking(rows, methods)}


def joint_p_value(comparison: Mapping[str, Any]) -> float | None:
    """The larger p-value of both paired tests of a cell, over seeds and over test examples.

    It is small only where a difference would hold for other seeds *and* on other test examples (an
    intersection-union test, Berger 1982). Without a test over examples that over seeds stands
    alone; without one over seeds there is none, as one run of each says nothing of retraining.

    Args:
        comparison: one of `summary.json`.
    """
    over_seeds: float | None = comparison["p_value_seeds"]
    return None if over_seeds is None else max(over_seeds, comparison["p_value"] or 0.0)


def _rows(summary: Summary) -> Iterator[_Row]:
    rows: dict[tuple[Any, ...], _Row] = {}
    for cell in summary["cells"]:
        row = rows.setdefault(cell_key(cell), _Row(summary["metric"]))
        row.means[cell["method"]] = cell["mean"]
        row.scores[cell["method"]] = dict(zip(cell["seeds"], cell["scores"], strict=True))
    for comparison in summary["comparisons"]:
        pair = comparison["method"], comparison["against"]
        rows[cell_key(comparison)].p_values[pair] = joint_p_value(comparison)
    yield from rows.values()


def _compare(rows: Sequence[_Row], method: str, against: str) -> dict[str, Any] | None:
    """One method against another over the cells that have both; None with fewer than two."""
    both = [row for row in rows if row.means.keys() >= {method, against}]
    if len(both) < 2:
        return None
    metrics = np.array([row.metric for row in both])
    differences = np.array([row.means[method] - row.means[against] for row in both])
    corrected = holm([row.p_values.get((method, against)) for row in both])
    significant = np.array([p is not None and p < SIGNIFICANT for p in corrected])
    scale = _scale(differences, metrics)
    p_value = signed_rank_test(differences / scale)
    return {
        "method": method,
        "against": against,
        "cells": len(both),
        "left_out": len(rows) - len(both),
        **win_tie_loss(differences)._asdict(),
        "significant_wins": int(np.sum(significant & (differences > 0))),
        "significant_losses": int(np.sum(significant & (differences < 0))),
        "difference": float(differences.mean()) if len(set(metrics)) == 1 else None,
        "p_value": p_value,
        "p_value_seeds": None if p_value is None else _seed_test(both, method, against, scale),
        "effect_size": rank_biserial(differences / scale),
    }


def _scale(differences: NDArray, metrics: NDArray) -> NDArray:
    """For each cell the root mean square of the differences by its metric."""
    scale = np.ones(len(differences))
    for metric in set(metrics):
        own = metrics == metric
        size = np.sqrt(np.mean(differences[own] ** 2))
        scale[own] = size if size > 0 else 1.0
    return scale


def _seed_test(rows: Sequence[_Row], method: str, against: str, scale: NDArray) -> float | None:
    """The t test over the seeds that all cells share: of each one's mean over cells."""
    seeds = set.intersection(*({*row.scores[name]} for row in rows for name in (method, against)))
    if len(seeds) < SEEDS_MINIMUM:
        return None
    ours, theirs = (
        [
            float(np.mean([row.scores[name][seed] / s for row, s in zip(rows, scale, strict=True)]))
            for seed in seeds
        ]
        for name in (method, against)
    )
    return paired_seed_test(ours, theirs).t_test


def _ranking(rows: Sequence[_Row], methods: Sequence[str]) -> dict[str, Any] | None:
    """Average ranks, and which of them differ."""
    ranked = [m for m in methods if 2 * sum(m in row.means for row in rows) >= len(rows)]
    complete = [row for row in rows if row.means.keys() >= set(ranked)]
    if len(ranked) < 2 or len(complete) < 2:
        return None
    scores = np.array([[row.means[method] for method in ranked] for row in complete])
    ranks = average_ranks(scores).tolist()
    ranking: dict[str, Any] = {
        "methods": ranked,
        "cells": len(complete),
        "left_out": len(rows) - len(complete),
        "ranks": dict(zip(ranked, ranks, strict=True)),
        "friedman": None,
        "critical_difference": None,
        "groups": None,
    }
    if len(ranked) < RANKED_METHODS or len(complete) < RANKED_CELLS:
        return ranking
    friedman = friedman_test(scores)
    difference = critical_difference(len(ranked), len(complete), SIGNIFICANT)
    # Where the methods do not differ as a whole, no two of them are said to.
    apart = friedman.p_value < SIGNIFICANT
    groups = groups_not_apart(ranks, difference if apart else np.inf)
    return ranking | {
        "friedman": friedman._asdict(),
        "critical_difference": difference,
        "groups": [[ranked[i] for i in group] for group in groups],
    }
