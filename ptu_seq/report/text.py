"""The summary as text: Markdown for `summary.md`, aligned columns for the terminal."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import Any

from ptu_seq.report.costs import cost_line
from ptu_seq.report.tables import (
    OVERALL_HEADER,
    OVERALL_NOTE,
    WIDE,
    best_methods,
    caption,
    cell_label,
    comparison_header,
    comparison_note,
    comparison_row,
    further_scores,
    methods_of,
    metric_of,
    most_seeds,
    overall_rows,
    overall_sentences,
    score_rows,
    score_text,
)

Summary = dict[str, Any]


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
    lines += overall_lines(summary.get("overall"))
    return "\n".join(lines) + "\n"


def overall_lines(overall: dict[str, Any] | None) -> list[str]:
    """What holds over all cells, as lines of Markdown; none if nothing has been said."""
    if not overall:
        return []
    lines = [line for text in overall_sentences(overall) for line in ("", _escape(text))]
    if overall["comparisons"]:
        rows = [[_escape(text) for text in row] for row in overall_rows(overall)]
        lines += ["", _escape(OVERALL_NOTE), ""]
        lines += _markdown_table(OVERALL_HEADER, rows, left=1)
    return lines


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
        rows = [comparison_row(summary, c)[:-WIDE] for c in summary["comparisons"]]
        blocks += _text_tables(comparison_header(summary)[:-WIDE], rows, width, left=3)
        blocks.append("* p < 0.05; won: seeds in which the first of the two is ahead")
    if overall := summary.get("overall"):
        if overall["comparisons"]:
            blocks += _text_tables(OVERALL_HEADER, overall_rows(overall), width, left=1)
            blocks.append("won, tied, lost: cells; sure: significantly won, lost; p: after Holm")
        blocks += overall_sentences(overall)
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


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")
