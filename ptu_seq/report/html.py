"""`report.html`: one file that says what a run found, with its figures inside."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from ptu_seq.report.metrics import Task
from ptu_seq.report.page import PAGE
from ptu_seq.report.results import read_summary
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

# File name: heading, alternative text, caption; words in braces are fields of the task.
FIGURES = {
    "scores.png": (
        "Score against size",
        "Line chart of the test score against the number of training {examples}, a panel for "
        "each {target} and a line for each method. The table of scores above holds the same "
        "numbers.",
        "Means over seeds; bars show one standard deviation. “all” is not to scale.",
    ),
    "critical_difference.png": (
        "Average ranks",
        "Critical-difference diagram: each method at its average rank over all cells, and bars "
        "that join methods whose ranks do not differ significantly.",
        "1 is the best. Joined methods are not significantly apart (Nemenyi’s test, 0.05).",
    ),
    "gates.png": (
        "What the gates learned",
        "Distribution, mean and standard deviation of the fine-tune gate and the update gate at "
        "each site, a panel for each {target} and size.",
        "Over neurons, positions, test {examples} and seeds. Fine-tune gate: 0 keeps the "
        "{source}’s activation as it is, 1 replaces it by its re-tuned candidate. Update gate: 0 "
        "passes the {target}’s own activation on, 1 passes the {source}’s. (The "
        "equations behind the gates are this project’s reconstruction of the paper.)",
    ),
    "examples.png": (
        "What the networks see",
        "One training image of each class, a row for the {source} and for each {target}.",
        "In the size and the colours that the networks read.",
    ),
    "gate_maps.png": (
        "Where the gates are open",
        "Test images of a {target}, and beside each the update gate at every site of the network.",
        "Mean over channels at each position; where a site has no positions, a column of its "
        "features, the most open first. Bright: the {source}’s activation is used.",
    ),
}


def write_report(output_dir: str | Path) -> Path:
    """Writes `report.html` from `summary.json` and `figures/`, and returns its path.

    The page is one file without scripts or links to elsewhere: figures are embedded. It follows
    the reader's light or dark setting.

    Args:
        output_dir: the folder with `summary.json`; figures that are not there are left out.

    Raises:
        UserError: if `summary.json` is not there or not complete.
    """
    output_dir = Path(output_dir)
    summary = read_summary(output_dir)
    task = metric_of(summary).task
    sections = [
        _scores(summary),
        _figure(output_dir, "scores.png", task),
        _further_scores(summary),
        _comparisons(summary),
        _overall(summary.get("overall")),
        _figure(output_dir, "critical_difference.png", task),
        _figure(output_dir, "gates.png", task),
        _figure(output_dir, "gate_maps.png", task),
        _figure(output_dir, "examples.png", task),
        _command(summary),
        _runs(summary),
        _pairs("Configuration", summary.get("configuration", {})),
        _pairs("Environment", summary["environment"]),
    ]
    page = PAGE.substitute(
        title=escape(f"ptu-seq: {summary['recipe'].replace('_', ' ')}"),
        answer=escape(summary["headline"]),
        body="\n".join(section for section in sections if section),
    )
    path = output_dir / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _scores(summary: Summary) -> str:
    methods, seeds, metric = methods_of(summary), most_seeds(summary), metric_of(summary)
    rows = []
    for (source, target, size), row in score_rows(summary):
        best = best_methods(row)
        rows.append(
            _td(cell_label(summary, source, target), "text")
            + _td(size, "text")
            + "".join(
                _td(score_text(metric, row.get(m), seeds), "best" if m in best else "")
                for m in methods
            )
        )
    note = f"{caption(summary)} The highest mean of each row stands out."
    table = _table([metric.task.target, "size", *methods], rows, text=2)
    return _section("Scores", _note(note) + table)


def _further_scores(summary: Summary) -> str:
    further = further_scores(summary)
    if further is None:
        return ""
    rows = [
        "".join(_td(text, "text" if i < 3 else "") for i, text in enumerate(row))
        for row in further.rows
    ]
    body = _note(further.note) + _table(further.header, rows, text=3)
    return _section("By every metric", body + "".join(map(_note, further.signatures)))


def _comparisons(summary: Summary) -> str:
    if not summary["comparisons"]:
        return ""
    rows = []
    for comparison in summary["comparisons"]:
        texts = comparison_row(summary, comparison)
        ahead = comparison["difference"] > 0
        classes = ["text"] * 3 + ["best" if ahead and "*" in text else "" for text in texts[3:]]
        rows.append("".join(_td(text, cls) for text, cls in zip(texts, classes, strict=True)))
    body = _note(comparison_note(summary)) + _table(comparison_header(summary), rows, text=3)
    return _section("Is the difference more than chance?", body)


def _overall(overall: dict[str, Any] | None) -> str:
    if not overall:
        return ""
    rows = []
    for one, texts in zip(overall["comparisons"], overall_rows(overall), strict=True):
        ahead = one["effect_size"] > 0
        classes = ["text", *("best" if ahead and "*" in text else "" for text in texts[1:])]
        rows.append("".join(_td(text, cls) for text, cls in zip(texts, classes, strict=True)))
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in overall_sentences(overall))
    table = _note(OVERALL_NOTE) + _table(OVERALL_HEADER, rows, text=1) if rows else ""
    return _section("Over all cells", said + table) if said + table else ""


def _figure(output_dir: Path, name: str, task: Task) -> str:
    path = output_dir / "figures" / name
    if not path.exists():
        return ""
    heading, alternative, text = (part.format_map(asdict(task)) for part in FIGURES[name])
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return _section(
        heading,
        f'<figure><img alt="{escape(alternative)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(text)}</figcaption></figure>",
    )


def _command(summary: Summary) -> str:
    command = summary.get("command")
    return _section("Make it again", f"<pre>{escape(command)}</pre>") if command else ""


def _runs(summary: Summary) -> str:
    """What each cell's runs took, and the setting chosen for them."""
    metric = metric_of(summary)
    header = ["size", "method", "seeds", "validation", "steps", "seconds", "trained", "setting"]
    rows = []
    for cell in summary["cells"]:
        validation, parameters = cell["validation_mean"], cell["parameters"] or {}
        rows.append(
            _td(cell_label(summary, cell["source"], cell["target"]), "text")
            + _td(cell["size"], "text")
            + _td(cell["method"], "text")
            + _td(len(cell["seeds"]))
            + _td("–" if validation is None else metric.text(validation))
            + _td(_number(cell["steps_mean"], 0))
            + _td(_number(cell["seconds_mean"], 1))
            + _td(_number(parameters.get("trained"), 0))
            + _td(_plain(cell["setting"] or {}), "text wrap")
        )
    body = _note(
        f"Means over seeds of the validation score ({metric.range}), training steps and seconds; "
        "the number of trained parameters; the setting chosen on validation."
    ) + _table([metric.task.target, *header], rows, text=3, last_text=True)
    return f"<details><summary>Runs and settings</summary>{body}</details>"


def _pairs(title: str, values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    rows = [_td(key, "text") + _td(_plain(value), "text wrap") for key, value in values.items()]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f"<details><summary>{escape(title)}</summary>"
        f'<div class="scroll"><table><tbody>{body}</tbody></table></div></details>'
    )


def _section(heading: str, body: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>{body}</section>"


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _table(header: Sequence[str], rows: Sequence[str], text: int, last_text: bool = False) -> str:
    """A table that scrolls sideways by itself; the first `text` columns are set left."""
    left = {*range(text), *([len(header) - 1] if last_text else [])}
    head = "".join(
        f'<th scope="col" class="{"text" if i in left else "number"}">{escape(name)}</th>'
        for i, name in enumerate(header)
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _td(value: object, classes: str = "") -> str:
    attribute = f' class="{classes}"' if classes else ""
    return f"<td{attribute}>{escape(str(value))}</td>"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _plain(value: Any) -> str:
    """A setting as a person would write it: no brackets around lists and dictionaries."""
    if isinstance(value, Mapping):
        return ", ".join(_named(key, one) for key, one in value.items()) or "–"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(one) for one in value) or "–"
    return "–" if value is None else str(value)


def _named(name: str, value: Any) -> str:
    inside = isinstance(value, Mapping)
    return f"{name} ({_plain(value)})" if inside else f"{name} = {_plain(value)}"
