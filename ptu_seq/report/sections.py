"""The sections of a report that are made of a summary alone."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from ptu_seq.report.elements import note, number, plain, section, table, td
from ptu_seq.report.tables import (
    OVERALL_HEADER,
    OVERALL_NOTE,
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


def scores_section(summary: Summary) -> str:
    """Means and standard deviations, a row a cell and a column a method."""
    methods, seeds, metric = methods_of(summary), most_seeds(summary), metric_of(summary)
    rows = []
    for (source, target, size), row in score_rows(summary):
        best = best_methods(row)
        rows.append(
            td(cell_label(summary, source, target), "text")
            + td(size, "text")
            + "".join(
                td(score_text(metric, row.get(m), seeds), "best" if m in best else "")
                for m in methods
            )
        )
    said = f"{caption(summary)} The highest mean of each row stands out."
    return section(
        "Scores", note(said) + table([metric.task.target, "size", *methods], rows, text=2)
    )


def further_scores_section(summary: Summary) -> str:
    """The means by every metric; nothing where there is but one."""
    further = further_scores(summary)
    if further is None:
        return ""
    rows = [
        "".join(td(text, "text" if i < 3 else "") for i, text in enumerate(row))
        for row in further.rows
    ]
    body = note(further.note) + table(further.header, rows, text=3)
    return section("By every metric", body + "".join(map(note, further.signatures)))


def comparisons_section(summary: Summary) -> str:
    """`ptu` against each other method, cell by cell."""
    if not summary["comparisons"]:
        return ""
    rows = []
    for comparison in summary["comparisons"]:
        texts = comparison_row(summary, comparison)
        ahead = comparison["difference"] > 0
        classes = ["text"] * 3 + ["best" if ahead and "*" in text else "" for text in texts[3:]]
        rows.append("".join(td(text, cls) for text, cls in zip(texts, classes, strict=True)))
    body = note(comparison_note(summary)) + table(comparison_header(summary), rows, text=3)
    return section("Is the difference more than chance?", body)


def overall_section(overall: dict[str, Any] | None) -> str:
    """What holds over all cells, in words and as a table."""
    if not overall:
        return ""
    rows = []
    for one, texts in zip(overall["comparisons"], overall_rows(overall), strict=True):
        ahead = one["effect_size"] > 0
        classes = ["text", *("best" if ahead and "*" in text else "" for text in texts[1:])]
        rows.append("".join(td(text, cls) for text, cls in zip(texts, classes, strict=True)))
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in overall_sentences(overall))
    if rows:
        said += note(OVERALL_NOTE) + table(OVERALL_HEADER, rows, text=1)
    return section("Over all cells", said) if said else ""


def runs_section(summary: Summary) -> str:
    """What each cell's runs took, and the setting chosen for them."""
    metric = metric_of(summary)
    header = ["size", "method", "seeds", "validation", "steps", "seconds", "trained", "setting"]
    rows = []
    for cell in summary["cells"]:
        validation, parameters = cell["validation_mean"], cell["parameters"] or {}
        rows.append(
            td(cell_label(summary, cell["source"], cell["target"]), "text")
            + td(cell["size"], "text")
            + td(cell["method"], "text")
            + td(len(cell["seeds"]))
            + td("–" if validation is None else metric.text(validation))
            + td(number(cell["steps_mean"], 0))
            + td(number(cell["seconds_mean"], 1))
            + td(number(parameters.get("trained"), 0))
            + td(plain(cell["setting"] or {}), "text wrap")
        )
    body = note(
        f"Means over seeds of the validation score ({metric.range}), training steps and seconds; "
        "the number of trained parameters; the setting chosen on validation."
    ) + table([metric.task.target, *header], rows, text=3, last_text=True)
    return f"<details><summary>Runs and settings</summary>{body}</details>"


def pairs_section(title: str, values: Mapping[str, Any]) -> str:
    """Names and values, folded away; nothing of none."""
    if not values:
        return ""
    rows = [td(key, "text") + td(plain(value), "text wrap") for key, value in values.items()]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f"<details><summary>{escape(title)}</summary>"
        f'<div class="scroll"><table><tbody>{body}</tbody></table></div></details>'
    )
