"""The summary as tables: Markdown for `summary.md`, aligned text for the terminal."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import Any

from ptu_seq.report.results import Size, cell_key, order_methods

Summary = dict[str, Any]
Cell = dict[str, Any]

SIGNIFICANT = 0.05

COMPARISON_NOTE = (
    "Differences in mean score, in points. p examples and the 95% interval: paired bootstrap over "
    "test examples, the trained networks given. p seeds: paired t test over seeds, the test set "
    "given. Won: seeds in which the first is ahead. * p < 0.05, each test by itself, not corrected "
    "for how many there are."
)


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


def score_text(cell: Cell | None, all_seeds: int) -> str:
    """`74.6 ± 0.4` in percent; with the number of seeds where some are missing."""
    if cell is None:
        return "–"
    spread = "" if cell["std"] is None else f" ± {_percent(cell['std'])}"
    seeds = len(cell["scores"])
    return _percent(cell["mean"]) + spread + (f" (n={seeds})" if seeds < all_seeds else "")


def most_seeds(summary: Summary) -> int:
    """The largest number of seeds that any cell has."""
    return max(len(cell["scores"]) for cell in summary["cells"])


def caption(summary: Summary) -> str:
    """What the numbers of the score table are."""
    seeds, sources = most_seeds(summary), _sources(summary)
    origin = f" after transfer from {sources[0]}" if len(sources) == 1 else ""
    metric = f"Test {summary['metric'].replace('_', ' ')} in percent{origin}"
    if seeds == 1:
        return f"{metric}, one seed."
    return f"{metric}: mean ± standard deviation over {seeds} seeds."


COMPARISON_HEADER = [
    "target",
    "size",
    "methods",
    "points",
    "p examples",
    "p seeds",
    "won",
    "95% interval",
]


def comparison_row(summary: Summary, comparison: dict[str, Any]) -> list[str]:
    """Cells of the comparison table, as in :data:`COMPARISON_HEADER`."""
    bounds = comparison["interval"]
    return [
        cell_label(summary, comparison["source"], comparison["target"]),
        str(comparison["size"]),
        f"{comparison['method']} – {comparison['against']}",
        _points(comparison["difference"]),
        p_text(comparison["p_value"]),
        p_text(comparison["p_value_seeds"]),
        f"{comparison['wins']}/{comparison['seeds']}",
        "–" if bounds is None else f"{_points(bounds[0])} to {_points(bounds[1])}",
    ]


def p_text(p: float | None) -> str:
    """A p-value to three places, with a star where it is below 0.05."""
    if p is None:
        return "–"
    return ("<0.001" if p < 0.001 else f"{p:.3f}") + (" *" if p < SIGNIFICANT else "")


def format_markdown(summary: Summary) -> str:
    """The content of `summary.md`: the answer, the scores (best in bold), the comparisons."""
    methods = methods_of(summary)
    scores = _score_table(summary, best="**{}**", other="{}", escape=_escape)
    lines = [
        f"# {summary['recipe']}",
        "",
        summary["headline"],
        "",
        f"{_escape(caption(summary))} The highest mean of each row is bold.",
        "",
        *_markdown_table(["target", "size", *methods], scores, left=2),
    ]
    if summary["comparisons"]:
        rows = [[_escape(t) for t in comparison_row(summary, c)] for c in summary["comparisons"]]
        lines += ["", _escape(COMPARISON_NOTE), "", *_markdown_table(COMPARISON_HEADER, rows, 3)]
    return "\n".join(lines) + "\n"


def format_table(summary: Summary, width: int | None = None) -> str:
    """Scores, comparisons and the answer as plain text for the terminal.

    Args:
        summary: content of `summary.json`.
        width: of the terminal, asked of it if None; columns that do not fit go below.
    """
    width = shutil.get_terminal_size().columns if width is None else width
    header = ["target", "size", *(f"{method} " for method in methods_of(summary))]
    scores = _score_table(summary, best="[{}]", other="{} ", escape=str)
    blocks = [f"{caption(summary)}\n[ ] marks the highest mean of a row."]
    blocks += _text_tables(header, scores, width, left=2)
    if summary["comparisons"]:
        # Without the interval, which would not fit into 80 columns.
        rows = [comparison_row(summary, c)[:-1] for c in summary["comparisons"]]
        blocks += _text_tables(COMPARISON_HEADER[:-1], rows, width, left=3)
        blocks.append("* p < 0.05; won: seeds in which the first of the two is ahead")
    return "\n\n".join([*blocks, summary["headline"]])


def _score_table(
    summary: Summary, best: str, other: str, escape: Callable[[str], str]
) -> list[list[str]]:
    methods, seeds, table = methods_of(summary), most_seeds(summary), []
    for (source, target, size), row in score_rows(summary):
        highest = best_methods(row)
        scores = [
            (best if method in highest else other).format(score_text(row.get(method), seeds))
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


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _points(share: float) -> str:
    return f"{100 * share:+.2f}"
