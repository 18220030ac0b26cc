"""What a study of several experiments found: all cells, and what holds over them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptu_seq.environment import environment
from ptu_seq.records import read_json, write_text
from ptu_seq.report.all_cells import overall
from ptu_seq.report.critical_difference import plot_critical_difference
from ptu_seq.report.study_page import study_page
from ptu_seq.report.summary import Summary
from ptu_seq.report.text import format_markdown, overall_lines


def write_study_report(
    output_dir: Path, name: str, experiments: Mapping[str, Path]
) -> Summary | None:
    """Writes `summary.json`, `summary.md`, `figures/` and `report.html` of a study.

    They are made of the `summary.json` of its experiments.

    Args:
        output_dir: the study's folder.
        name: the study's name.
        experiments: their folders by name; one without a `summary.json` has not finished a run yet
            and is left out.

    Returns:
        The content of `summary.json`; None, and nothing is written, if no experiment has one.
    """
    found = {name: read_json(folder / "summary.json") for name, folder in experiments.items()}
    found = {name: summary for name, summary in found.items() if summary}
    if not found:
        return None
    summary = build_study_summary(name, found)
    write_text(
        output_dir / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    )
    write_text(output_dir / "summary.md", format_study(name, found, summary["overall"]))
    ranking = (summary["overall"] or {}).get("ranking")
    figure = output_dir / "figures" / "critical_difference.png"
    figure.unlink(missing_ok=True)  # one of an earlier time would be shown as this one's
    if ranking and ranking["groups"] is not None:
        figure.parent.mkdir(exist_ok=True)
        plot_critical_difference(ranking, figure)
    write_text(output_dir / "report.html", study_page(output_dir, summary, found, experiments))
    return summary


def build_study_summary(name: str, experiments: Mapping[str, Summary]) -> Summary:
    """The content of a study's `summary.json`.

    Args:
        name: the study's name.
        experiments: the content of their `summary.json`, by name.

    Returns:
        A dictionary of

        - `study`: its name
        - `experiments`: `name`, `recipe`, `metric`, `headline` and `configuration` of each
        - `cells`, `comparisons`: those of all experiments, see
          :func:`ptu_seq.report.summary.build_summary`, each with its `experiment`, `recipe` and
          `metric`
        - `overall`: what holds over all cells, see :func:`ptu_seq.report.all_cells.overall`
        - `environment`: versions and machine
    """
    described = ("recipe", "metric", "headline", "configuration")
    return {
        "study": name,
        "experiments": [
            {"name": one, **{key: summary.get(key) for key in described}}
            for one, summary in experiments.items()
        ],
        "cells": _all("cells", experiments),
        "comparisons": _all("comparisons", experiments),
        "overall": overall(list(experiments.values())),
        "environment": environment(),
    }


def format_study(
    name: str, experiments: Mapping[str, Summary], over_all: dict[str, Any] | None
) -> str:
    """The content of a study's `summary.md`: what holds over all cells, then recipe by recipe."""
    lines = [f"# {name}", *overall_lines(over_all)]
    for recipe in dict.fromkeys(summary["recipe"] for summary in experiments.values()):
        lines += ["", f"## {recipe}"]
        for one, summary in experiments.items():
            if summary["recipe"] == recipe:
                _, _, tables = format_markdown(summary).partition("\n")  # without its title
                lines += ["", f"### {one}", "", tables.strip()]
    return "\n".join(lines) + "\n"


def _all(part: str, experiments: Mapping[str, Summary]) -> Sequence[dict[str, Any]]:
    return [
        {"experiment": name, "recipe": summary["recipe"], "metric": summary["metric"], **one}
        for name, summary in experiments.items()
        for one in summary[part]
    ]
