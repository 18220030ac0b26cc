"""What the tables of a summary hold: header, rows and a note on what the numbers are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ptu_seq.report.metrics import LESS_IS_BETTER, SCORE_NAMES, Metric, get_metric
from ptu_seq.report.results import Size, cell_key, order_methods
from ptu_seq.significance import SIGNIFICANT

Summary = dict[str, Any]
Cell = dict[str, Any]

#: So many of the comparison table's last columns do not fit into 80 columns of a terminal.
WIDE = 3


def score_rows(summary: Summary) -> list[tuple[tuple[str, str, Size], dict[str, Cell]]]:
    """Rows of the score table: source, target and size with the cell of each method."""
    rows: dict[tuple[str, str, Size], dict[str, Cell]] = {}
    for cell in summary["cells"]:
        rows.setdefault(cell_key(cell), {})[cell["method"]] = cell
    return list(rows.items())


def methods_of(summary: Summary) -> list[str]:
    """Columns of the score table, in the usual order."""
    return order_methods(cell["method"] for cell in summary["cells"])


def best_methods(row: dict[str, Cell]) -> set[str]:
    """The methods with the row's highest mean; none where only one method ran."""
    highest = max(cell["mean"] for cell in row.values())
    return {m for m, cell in row.items() if cell["mean"] == highest} if len(row) > 1 else set()


def cell_label(summary: Summary, source: str, target: str) -> str:
    """The target, with its source in front where the summary has several."""
    return f"{source} → {target}" if len(_sources(summary)) > 1 else target


def metric_of(summary: Summary) -> Metric:
    """What the summary's scores are."""
    return get_metric(summary["metric"])


def score_text(metric: Metric, cell: Cell | None, all_seeds: int) -> str:
    """`74.6 ± 0.4` as the metric is shown; with the number of seeds where some are missing."""
    if cell is None:
        return "–"
    spread = "" if cell["std"] is None else f" ± {metric.text(cell['std'])}"
    seeds = len(cell["scores"])
    return metric.text(cell["mean"]) + spread + (f" (n={seeds})" if seeds < all_seeds else "")


def most_seeds(summary: Summary) -> int:
    """The largest number of seeds that any cell has."""
    return max(len(cell["scores"]) for cell in summary["cells"])


def caption(summary: Summary) -> str:
    """What the numbers of the score table are."""
    seeds, sources = most_seeds(summary), _sources(summary)
    origin = f" after transfer from {sources[0]}" if len(sources) == 1 else ""
    name = f"Test {metric_of(summary).name}{origin}"
    if seeds == 1:
        return f"{name}, one seed."
    return f"{name}: mean ± standard deviation over {seeds} seeds."


class FurtherScores(NamedTuple):
    """A table of all metrics: what its numbers are, its cells, and how the scores were taken."""

    note: str
    header: list[str]
    rows: list[list[str]]
    signatures: list[str]


def further_scores(summary: Summary) -> FurtherScores | None:
    """The means by every metric beside each other; None where runs have but one score."""
    cells = [cell for cell in summary["cells"] if cell.get("scores_mean")]
    if not cells:
        return None
    metrics = _distinct(metric for cell in cells for metric in cell["scores_mean"])
    names = {metric: SCORE_NAMES.get(metric, metric) for metric in metrics}
    note = "Means over seeds." if most_seeds(summary) > 1 else "One seed."
    less = [names[metric] for metric in metrics if metric in LESS_IS_BETTER]
    return FurtherScores(
        note=f"{note} {', '.join(less)}: less is better." if less else note,
        header=[metric_of(summary).task.target, "size", "method", *names.values()],
        rows=[
            [
                cell_label(summary, cell["source"], cell["target"]),
                str(cell["size"]),
                cell["method"],
                *(_one_place(cell["scores_mean"].get(metric)) for metric in metrics),
            ]
            for cell in cells
        ],
        signatures=[
            f"{name}|{signature}"
            for metric, name in names.items()
            for signature in _distinct(cell["signatures"].get(metric) for cell in cells)
            if signature
        ],
    )


def comparison_note(summary: Summary) -> str:
    """What the numbers of the comparison table are."""
    metric = metric_of(summary)
    signatures = _distinct(c["signature"] for c in summary["comparisons"] if c.get("signature"))
    signed = f" ({'; '.join(signatures)})" if signatures else ""
    return (
        f"Differences in mean score, in {metric.unit}. p examples and the 95% interval: "
        f"{metric.test_name}{signed}. p seeds: paired t test over seeds, the test set given. Won: "
        "seeds in which the first is ahead. * p < 0.05, in both columns each test by itself. p "
        "Holm: the larger of both, corrected for all comparisons of this table. Effect: mean over "
        "standard deviation of the seeds' differences, with Hedges' correction."
    )


def comparison_header(summary: Summary) -> list[str]:
    """Columns of the comparison table; the last :data:`WIDE` are those that need a wide page."""
    target = metric_of(summary).task.target
    tests = ["p examples", "p seeds", "won", "p Holm", "effect", "95% interval"]
    return [target, "size", "methods", "points", *tests]


def comparison_row(summary: Summary, comparison: dict[str, Any]) -> list[str]:
    """Cells of the comparison table, as in :func:`comparison_header`."""
    bounds, signed = comparison["interval"], metric_of(summary).signed
    return [
        cell_label(summary, comparison["source"], comparison["target"]),
        str(comparison["size"]),
        f"{comparison['method']} – {comparison['against']}",
        signed(comparison["difference"]),
        p_text(comparison["p_value"]),
        p_text(comparison["p_value_seeds"]),
        f"{comparison['wins']}/{comparison['seeds']}",
        p_text(comparison.get("p_value_holm")),  # a summary of an earlier version has none
        _signed(comparison.get("effect_size")),
        "–" if bounds is None else f"{signed(bounds[0])} to {signed(bounds[1])}",
    ]


#: Columns of the overall table.
OVERALL_HEADER = ["methods", "won", "tied", "lost", "sure", "p cells", "p seeds", "effect"]

OVERALL_NOTE = (
    "Over all cells that have both methods: in how many the first has the higher mean (won). Sure: "
    "cells won and lost with p below 0.05 over seeds and over test examples, corrected for the "
    "number of cells. p cells: Wilcoxon's signed-rank test over cells, taken as independent; p "
    "seeds: t test over seeds, of each one's mean difference over all cells; both corrected for "
    "the comparisons of this table (Holm). Effect: rank-biserial correlation, 1 where all cells "
    "are won. * p < 0.05."
)


def overall_rows(overall: dict[str, Any]) -> list[list[str]]:
    """Rows of the overall table, a row a comparison, with the columns of `OVERALL_HEADER`."""
    return [
        [
            f"{one['method']} – {one['against']}",
            *(str(one[count]) for count in ("wins", "ties", "losses")),
            f"{one['significant_wins']}, {one['significant_losses']}",
            p_text(one["p_value_holm"]),
            p_text(one["p_value_seeds_holm"]),
            _signed(one["effect_size"]),
        ]
        for one in overall["comparisons"]
    ]


def overall_sentences(overall: dict[str, Any]) -> list[str]:
    """What the statistics over all cells say: a sentence a comparison, and one on the ranks."""
    said = [one["sentence"] for one in overall["comparisons"] if one["sentence"]]
    ranking = overall["ranking"]
    return [*said, *([_ranking_sentence(ranking)] if ranking else [])]


def _ranking_sentence(ranking: dict[str, Any]) -> str:
    ranks = sorted(ranking["ranks"].items(), key=lambda item: item[1])
    left_out = ranking["left_out"]
    without = f", {left_out} without all of these left out" if left_out else ""
    places = ", ".join(f"{method} {rank:.2f}" for method, rank in ranks)
    sentence = f"Average ranks over {ranking['cells']} cells{without}: {places}"
    if ranking["friedman"] is None:
        return f"{sentence}."
    p = ranking["friedman"]["p_value"]
    value = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    difference = ranking["critical_difference"]
    return f"{sentence} (Friedman {value}; Nemenyi's critical difference {difference:.2f})."


def p_text(p: float | None) -> str:
    """A p-value to three places, with a star where it is below 0.05."""
    if p is None:
        return "–"
    return ("<0.001" if p < 0.001 else f"{p:.3f}") + (" *" if p < SIGNIFICANT else "")


def _signed(effect: float | None) -> str:
    return "–" if effect is None else f"{effect:+.2f}"


def _sources(summary: Summary) -> list[str]:
    return sorted({cell["source"] for cell in summary["cells"]})


def _one_place(score: float | None) -> str:
    return "–" if score is None else f"{score:.1f}"


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
