"""The cards of the models that a study keeps, with what its runs tell of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ptu_seq.model_card import Run, write_model_card
from ptu_seq.records import read_json
from ptu_seq.report.metrics import SCORE_NAMES, get_metric
from ptu_seq.report.results import Result, read_gates, read_results

Summary = dict[str, Any]

#: Languages at the end of a data set's name, as in bible:tl-en and wmt16/tr-en.
_LANGUAGES = re.compile(r"\b([a-z]{2,3})-([a-z]{2,3})$")


def write_model_cards(output_dir: str | Path, summary: Summary) -> list[Path]:
    """Writes the card of every model in `model/`, but for those whose user has written one.

    Args:
        output_dir: a study's folder.
        summary: content of its `summary.json`.

    Returns:
        The folders whose card was written.
    """
    output_dir = Path(output_dir)
    runs = read_results(output_dir)
    written = []
    for note in sorted((output_dir / "model").rglob("run.json")):
        kept = read_json(note)
        found = [
            run
            for run in runs
            if kept.get("cell") == {key: run[key] for key in ("target", "size", "method")}
            and kept.get("seed") == run["seed"]
        ]
        # The line of a run that was interrupted comes with the next start.
        if found and write_model_card(note.parent, _run(output_dir, found[0], summary)):
            written.append(note.parent)
    return written


def _run(output_dir: Path, result: Result, summary: Summary) -> Run:
    target = result["target"]
    named = (
        _LANGUAGES.search(target) if get_metric(result["metric"]).task.source == "parent" else None
    )
    gates = read_gates(output_dir, result["run_id"]) or []
    return Run(
        source=result["source"],
        target=target,
        size=result["size"],
        method=result["method"],
        seed=result["seed"],
        metric=result["metric"],
        setting=result.get("setting") or {},
        score=result["score"],
        details=_details(result, summary),
        languages=named.groups() if named else (),
        gates=[(site["site"], site["update"]["mean"], site["fine_tune"]["mean"]) for site in gates],
        command=summary.get("command"),
    )


def _details(result: Result, summary: Summary) -> dict[str, str]:
    """Other scores of the run, those of its cell, and its parameters."""
    metric = get_metric(result["metric"])
    details = {
        f"test {SCORE_NAMES.get(name, name)}": f"{score:.1f}"
        for name, score in (result.get("scores") or {}).items()
        if name != result["metric"]
    }
    details["validation"] = f"{metric.text(result['validation_score'])} ({metric.range})"
    for cell in summary["cells"]:
        if len(cell["seeds"]) > 1 and all(
            cell[key] == result[key] for key in ("source", "target", "size", "method")
        ):
            details["all seeds"] = (
                f"{metric.text(cell['mean'])} ± {metric.text(cell['std'])} on the test set, over "
                f"{len(cell['seeds'])}; this model was chosen among them on validation data"
            )
    if parameters := result.get("parameters"):
        details["parameters"] = f"{parameters['total']:,}, {parameters['trained']:,} trained"
    return details
