"""What the numbers say, in words: every sentence is computed, and none claims what is not shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ptu_seq.report.metrics import Metric
from ptu_seq.report.results import cell_key
from ptu_seq.significance import SIGNIFICANT, win_tie_loss

Cell = dict[str, Any]


def headline(cells: Sequence[Cell], metric: Metric) -> str:
    """What the cells say about `ptu`, in a sentence computed from their means."""
    tables: dict[tuple[Any, ...], dict[str, float]] = {}
    for cell in cells:
        tables.setdefault(cell_key(cell), {})[cell["method"]] = cell["mean"]
    tables = {key: means for key, means in tables.items() if "ptu" in means and len(means) > 1}
    if not tables:
        return "No cell has both ptu and another method yet, so there is nothing to compare."
    ahead = [
        means["ptu"] - max(mean for method, mean in means.items() if method != "ptu")
        for means in tables.values()
    ]
    best = win_tie_loss(ahead).wins
    sentence = f"ptu has the highest mean in {best} of {_count(len(tables), 'cell')}"
    rivals = metric.task.rivals
    gains = [
        metric.scale * (means["ptu"] - max(means[rival] for rival in rivals))
        for means in tables.values()
        if means.keys() >= set(rivals)
    ]
    if not gains:
        return f"{sentence}."
    average = sum(gains) / len(gains)
    verb = "loses" if round(average, 2) < 0 else "gains"
    return (
        f"{sentence}; against the better of {' and '.join(rivals)} it {verb} "
        f"{abs(average):.2f} {metric.unit} on average (worst {min(gains):+.2f})."
    )


def claim(comparison: Mapping[str, Any], tests: int) -> str | None:
    """What a comparison over all cells says; None where there are too few cells for a test.

    "Beats" is said only where the corrected p-values over cells and, if there is one, over seeds
    are below 0.05, and more cells are won than lost.

    Args:
        comparison: one of :func:`ptu_seq.report.all_cells.overall`, without its sentence.
        tests: how many comparisons the p-values are corrected for.

    Example:
        >>> counts = {"cells": 13, "left_out": 0, "wins": 7, "ties": 1, "losses": 5}
        >>> pair = {"method": "ptu", "against": "l2_sp", "effect_size": 0.1}
        >>> p_values = {"p_value_holm": 0.21, "p_value_seeds_holm": 0.5}
        >>> claim({**counts, **pair, **p_values}, tests=3)
        'ptu is ahead of l2_sp in 7 of 13 cells (1 tie, 5 losses), which is not significant
         (p = 0.210, Wilcoxon signed-rank, and 0.500, t over seeds; Holm over 3 comparisons).'
    """
    if comparison["p_value_holm"] is None:
        return None
    method, against, cells = comparison["method"], comparison["against"], comparison["cells"]
    wins, losses = comparison["wins"], comparison["losses"]
    ties, tested = _count(comparison["ties"], "tie"), _tested(comparison, tests)
    won = f"{wins} of {cells} cells ({ties}, {_count(losses, 'loss')}"
    lost = f"{losses} of {cells} cells ({ties}, {_count(wins, 'win')}"
    p_values = comparison["p_value_holm"], comparison["p_value_seeds_holm"]
    if any(p is not None and p >= SIGNIFICANT for p in p_values):
        if wins == losses:
            return f"{method} is level with {against}: ahead in {won}; {tested})."
        place = f"behind {against} in {lost})" if wins < losses else f"ahead of {against} in {won})"
        return f"{method} is {place}, which is not significant ({tested})."
    gains = comparison["effect_size"] > 0
    if gains and wins > losses:
        return f"{method} beats {against} in {won}; {tested})."
    if not gains and losses > wins:
        return f"{method} is beaten by {against} in {lost}; {tested})."
    # Few large differences outweigh more small ones: that is no win in most cells.
    larger = "gains are larger than losses" if gains else "losses are larger than gains"
    return f"{method} is ahead of {against} in {won}); its {larger} ({tested})."


def _tested(comparison: Mapping[str, Any], tests: int) -> str:
    """The p-values, how they were corrected, and which cells had no part."""
    over_cells, over_seeds = comparison["p_value_holm"], comparison["p_value_seeds_holm"]
    parts = [f"p {_p(over_cells)}, Wilcoxon signed-rank"]
    if over_seeds is not None:
        parts[0] += f", and {_p(over_seeds).removeprefix('= ')}, t over seeds"
    if tests > 1:
        parts.append(f"Holm over {tests} comparisons")
    if comparison["left_out"]:
        parts.append(f"{_count(comparison['left_out'], 'cell')} without both left out")
    return "; ".join(parts)


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _count(number: int, noun: str) -> str:
    """A number with its noun.

    Example:
        >>> _count(1, "tie"), _count(2, "loss")
        ('1 tie', '2 losses')
    """
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
