"""`report.html`: one file that says what a run found, with its figures inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from ptu_seq.records import read_lines
from ptu_seq.report.captions import FIGURES
from ptu_seq.report.elements import figure, note, number, plain, section, table, td
from ptu_seq.report.figures import closest_run, gates_by_cell, gates_of_ptu
from ptu_seq.report.gate_shares import shares_by_site
from ptu_seq.report.layer_curve import agreement, layer_curves
from ptu_seq.report.metrics import Task
from ptu_seq.report.page import PAGE, SORT
from ptu_seq.report.results import Result, read_gates, read_results, read_summary
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

GATE_FIGURES = (
    *("gates.png", "gate_shares.png", "gate_neurons.png", "gate_steps.png", "gate_training.png"),
)
#: Tokens shown at each end.
TOKENS = 12


def write_report(output_dir: str | Path) -> Path:
    """Writes `report.html` from `summary.json` and `figures/`, and returns its path.

    The page is one file that needs nothing from elsewhere: figures, their numbers and the few
    lines of script that sort its tables are embedded. It follows the reader's light or dark
    setting.

    Args:
        output_dir: the folder with `summary.json`; figures that are not there are left out.

    Raises:
        UserError: if `summary.json` is not there or not complete.
    """
    output_dir = Path(output_dir)
    summary = read_summary(output_dir)
    task = metric_of(summary).task
    results = read_results(output_dir)
    run = closest_run(output_dir, results)
    label = "" if run is None else f"{run['method']}, {run['target']}, {run['size']}, {run['seed']}"
    sections = [
        _scores(summary),
        _figure(output_dir, "scores.png", task),
        _further_scores(summary),
        _comparisons(summary),
        _overall(summary.get("overall")),
        _figure(output_dir, "critical_difference.png", task),
        *(_figure(output_dir, name, task, label) for name in GATE_FIGURES),
        _tokens(output_dir, run, label),
        _figure(output_dir, "alignment.png", task),
        _figure(output_dir, "gate_maps.png", task),
        _figure(output_dir, "layer_curve.png", task),
        _agreement(output_dir, summary, results),
        _figure(output_dir, "examples.png", task),
        _command(summary),
        _runs(summary),
        _pairs("Configuration", summary.get("configuration", {})),
        _pairs("Environment", summary["environment"]),
    ]
    page = PAGE.substitute(
        title=escape(f"ptu-seq: {summary['recipe'].replace('_', ' ')}"),
        answer=escape(summary["headline"]),
        body="\n".join(part for part in sections if part),
        script=SORT,
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


def _further_scores(summary: Summary) -> str:
    further = further_scores(summary)
    if further is None:
        return ""
    rows = [
        "".join(td(text, "text" if i < 3 else "") for i, text in enumerate(row))
        for row in further.rows
    ]
    body = note(further.note) + table(further.header, rows, text=3)
    return section("By every metric", body + "".join(map(note, further.signatures)))


def _comparisons(summary: Summary) -> str:
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


def _overall(overall: dict[str, Any] | None) -> str:
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


def _figure(output_dir: Path, name: str, task: Task, run: str = "") -> str:
    words = {**asdict(task), "run": run}
    heading, alternative, text = (part.format_map(words) for part in FIGURES[name])
    return figure(output_dir / "figures" / name, heading, alternative, text)


def _tokens(output_dir: Path, run: Result | None, label: str) -> str:
    """The tokens that a run's units take most and least from the source."""
    sites = [] if run is None else read_gates(output_dir, run["run_id"]) or []
    rows = [
        "".join(
            [
                *(td(site["site"], "text"), td(one["token"], "text")),
                *(td(f"{one['mean']:.2f}"), td(one["count"])),
            ]
        )
        for site in sites
        for one in _both_ends(site.get("tokens", {}))
    ]
    if not rows:
        return ""
    said = (
        f"At each site the {TOKENS} tokens whose update gate is most open, which come most from "
        f"the source, and the {TOKENS} where it is least, of those that occur at least five "
        f"times. Mean over neurons and occurrences. Of the run {label}."
    )
    header = ["site", "token", "update gate", "count"]
    return section("Token by token", note(said) + table(header, rows, text=2))


def _both_ends(tokens: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    most = list(tokens.get("most_source", ()))[:TOKENS]
    least = [one for one in tokens.get("least_source", ())[:TOKENS] if one not in most]
    return [*most, *reversed(least)]


def _agreement(output_dir: Path, summary: Summary, results: Sequence[Result]) -> str:
    """Whether the gates agree with the search by trial, for each cell where both ran."""
    gates = gates_of_ptu(gates_by_cell(output_dir, summary, results))
    return "".join(
        note(agreement(curve, shares_by_site(gates[curve.target, curve.size])))
        for curve in layer_curves(read_lines(output_dir / "tuning.jsonl"))
        if shares_by_site(gates.get((curve.target, curve.size), []))
    )


def _command(summary: Summary) -> str:
    command = summary.get("command")
    return section("Make it again", f"<pre>{escape(command)}</pre>") if command else ""


def _runs(summary: Summary) -> str:
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


def _pairs(title: str, values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    rows = [td(key, "text") + td(plain(value), "text wrap") for key, value in values.items()]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f"<details><summary>{escape(title)}</summary>"
        f'<div class="scroll"><table><tbody>{body}</tbody></table></div></details>'
    )
