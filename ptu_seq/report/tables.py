"""The summary as tables: Markdown for `summary.md`, aligned text for the terminal."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ptu_seq.report.costs import cost_line
from ptu_seq.report.metrics import LESS_IS_BETTER, SCORE_NAMES, Metric, get_metric
from ptu_seq.report.results import Size, cell_key, order_methods

Summary = dict[str, Any]
Cell = dict[str, Any]

SIGNIFICANT = 0.05


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
        "seeds in which the first is ahead. * p < 0.05, each test by itself, not corrected for how "
        "many there are."
    )


def comparison_header(summary: Summary) -> list[str]:
    """Columns of the comparison table; the last one is the widest."""
    target = metric_of(summary).task.target
    tests = ["p examples", "p seeds", "won", "95% interval"]
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
        "–" if bounds is None else f"{signed(bounds[0])} to {signed(bounds[1])}",
    ]


def p_text(p: float | None) -> str:
    """A p-value to three places, with a star where it is below 0.05."""
    if p is None:
        return "–"
    return ("<0.001" if p < 0.001 else f"{p:.3f}") + (" *" if p < SIGNIFICANT else "")


def format_markdown(summary: Summary) -> str:
    """The content of `summary.md`: the answer, the scores (best in bold), the comparisons."""
    methods, target = methods_of(summary), metric_of(summary).task.target
    scores = _score_table(summary, best="**{}**", other="{}", escape=_escape)
    lines = [
        f"# {summary['recipe']}",
        "",
        summary["headline"],
        "",
        f"{_escape(caption(summary))} The highest mean of each row is bold.",
        "",
        *_markdown_table([target, "size", *methods], scores, left=2),
    ]
    if costs := cost_line(summary["cells"]):
        lines += ["", costs]
    if further := further_scores(summary):
        rows = [[_escape(text) for text in row] for row in further.rows]
        lines += ["", further.note, "", *_markdown_table(further.header, rows, left=3)]
        lines += [line for text in further.signatures for line in ("", f"`{text}`")]
    if summary["comparisons"]:
        rows = [[_escape(t) for t in comparison_row(summary, c)] for c in summary["comparisons"]]
        lines += ["", comparison_note(summary).replace("*", "\\*"), ""]
        lines += _markdown_table(comparison_header(summary), rows, left=3)
    return "\n".join(lines) + "\n"


def format_table(summary: Summary, width: int | None = None) -> str:
    """Scores, comparisons and the answer as plain text for the terminal.

    Args:
        summary: content of `summary.json`.
        width: of the terminal, asked of it if None; columns that do not fit go below.
    """
    width = shutil.get_terminal_size().columns if width is None else width
    target = metric_of(summary).task.target
    header = [target, "size", *(f"{method} " for method in methods_of(summary))]
    scores = _score_table(summary, best="[{}]", other="{} ", escape=str)
    blocks = [f"{caption(summary)}\n[ ] marks the highest mean of a row."]
    blocks += _text_tables(header, scores, width, left=2)
    if summary["comparisons"]:
        # Without the interval, which would not fit into 80 columns.
        rows = [comparison_row(summary, c)[:-1] for c in summary["comparisons"]]
        blocks += _text_tables(comparison_header(summary)[:-1], rows, width, left=3)
        blocks.append("* p < 0.05; won: seeds in which the first of the two is ahead")
    return "\n\n".join([*blocks, summary["headline"]])


def _score_table(
    summary: Summary, best: str, other: str, escape: Callable[[str], str]
) -> list[list[str]]:
    methods, seeds, metric = methods_of(summary), most_seeds(summary), metric_of(summary)
    table = []
    for (source, target, size), row in score_rows(summary):
        highest = best_methods(row)
        scores = [
            (best if method in highest else other).format(
                score_text(metric, row.get(method), seeds)
            )
            for method in methods
        ]
        table.append([escape(cell_label(summary, source, target)), str(size), *scores])
    return table


def _text_tables(
    header: Sequence[str], rows: Sequence[Sequence[str]], width: int, left: int
) -> list[str]:
    """Aligned columns, in as many tables as the width asks for; each repeats the first `left`."""
    table = [header, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    labels = list(range(left))
    chunks: list[list[int]] = [[]]
    for i in range(left, len(header)):
        columns = [*labels, *chunks[-1], i]
        if chunks[-1] and sum(widths[c] for c in columns) + 2 * (len(columns) - 1) > width:
            chunks.append([])
        chunks[-1].append(i)

    def line(row: Sequence[str], columns: Sequence[int]) -> str:
        return "  ".join(
            row[c].ljust(widths[c]) if c < left else row[c].rjust(widths[c]) for c in columns
        ).rstrip()

    return ["\n".join(line(row, [*labels, *chunk]) for row in table) for chunk in chunks]


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> list[str]:
    rule = ["---" if i < left else "---:" for i in range(len(header))]
    return [f"| {' | '.join(row)} |" for row in (header, rule, *rows)]


def _sources(summary: Summary) -> list[str]:
    return sorted({cell["source"] for cell in summary["cells"]})


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def _one_place(score: float | None) -> str:
    return "–" if score is None else f"{score:.1f}"


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
