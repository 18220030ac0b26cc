"""`report.html`: one file that says what a run found, with its figures inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from ptu_seq.records import read_lines
from ptu_seq.report.captions import FIGURES
from ptu_seq.report.elements import figure, note, section, table, td
from ptu_seq.report.figures import closest_run, gates_by_cell, gates_of_ptu
from ptu_seq.report.gate_shares import shares_by_site
from ptu_seq.report.layer_curve import agreement, layer_curves
from ptu_seq.report.metrics import Task
from ptu_seq.report.page import PAGE, SORT
from ptu_seq.report.results import Result, read_gates, read_results, read_summary
from ptu_seq.report.sections import (
    comparisons_section,
    further_scores_section,
    overall_section,
    pairs_section,
    runs_section,
    scores_section,
)
from ptu_seq.report.tables import (
    metric_of,
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
        scores_section(summary),
        _figure(output_dir, "scores.png", task),
        further_scores_section(summary),
        comparisons_section(summary),
        overall_section(summary.get("overall")),
        _figure(output_dir, "critical_difference.png", task),
        *(_figure(output_dir, name, task, label) for name in GATE_FIGURES),
        _tokens(output_dir, run, label),
        _figure(output_dir, "alignment.png", task),
        _figure(output_dir, "gate_maps.png", task),
        _figure(output_dir, "layer_curve.png", task),
        _agreement(output_dir, summary, results),
        _figure(output_dir, "examples.png", task),
        _command(summary),
        runs_section(summary),
        pairs_section("Configuration", summary.get("configuration", {})),
        pairs_section("Environment", summary["environment"]),
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
