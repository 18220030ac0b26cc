"""`report.html` of a study of several experiments: what holds over all of them, and each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from ptu_seq.report.captions import FIGURES
from ptu_seq.report.elements import figure, section
from ptu_seq.report.page import PAGE, SORT
from ptu_seq.report.sections import overall_section, pairs_section, scores_section
from ptu_seq.report.tables import metric_of, overall_sentences

Summary = dict[str, Any]


def study_page(
    output_dir: Path,
    study: Summary,
    experiments: Mapping[str, Summary],
    folders: Mapping[str, Path],
) -> str:
    """The page: like a report, self-contained but for links to the experiments' own reports.

    Args:
        output_dir: the study's folder, with `figures/`.
        study: the content of its `summary.json`.
        experiments: that of each experiment's, by name.
        folders: where these are.
    """
    said = overall_sentences(study["overall"]) if study["overall"] else []
    first_name, first = next(iter(experiments.items()))
    words = asdict(metric_of(first).task)
    name = "critical_difference.png"
    heading, alternative, text = (part.format_map({**words, "run": ""}) for part in FIGURES[name])
    parts = [
        overall_section(study["overall"]),
        figure(output_dir / "figures" / name, heading, alternative, text),
        *(
            _experiment(name, summary, folders[name], output_dir)
            for name, summary in experiments.items()
        ),
        *(
            pairs_section(f"Configuration of {name}", summary.get("configuration") or {})
            for name, summary in experiments.items()
        ),
        pairs_section("Environment", study["environment"]),
    ]
    return PAGE.substitute(
        title=escape(f"ptu-seq: {study['study']}"),
        answer=escape(said[0] if said else f"{first_name}: {first['headline']}"),
        body="\n".join(part for part in parts if part),
        script=SORT,
    )


def _experiment(name: str, summary: Summary, folder: Path, output_dir: Path) -> str:
    """Its answer, its scores and where its own report lies."""
    report = folder / "report.html"
    link = ""
    if report.exists() and report.is_relative_to(output_dir):
        href = escape(report.relative_to(output_dir).as_posix())
        link = f'<p><a href="{href}">Its report: comparisons, gates, runs</a></p>'
    answer = f"<p>{escape(summary['headline'])}</p>"
    return section(name, answer + link) + scores_section(summary)
