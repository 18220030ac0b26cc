"""`ptu-seq report`: summary, figures and page of a study's folder, made anew."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ptu_seq.commands.report_folder import NOT_AS_WRITTEN, check_no_links, experiment_names
from ptu_seq.errors import UserError
from ptu_seq.records import read_json


def add(commands: Any) -> None:
    """Adds the parser."""
    report = commands.add_parser(
        "report",
        help="make the summary, the figures and the report of a study's folder anew",
        description="Reads what the finished runs in a recipe's output folder left, also of a "
        "study that goes on or was interrupted, and writes summary.json, summary.md, figures/ "
        "(PNG, and the numbers as CSV) and report.html, one page with all of it.",
    )
    report.add_argument("run_dir", metavar="RUN_DIR", help="a recipe's --output_dir, or a study's")
    report.set_defaults(command=_report)


def _report(arguments: argparse.Namespace) -> None:
    from ptu_seq import formats

    folder = Path(arguments.run_dir)
    try:
        formats.check_results(folder)
        study = read_json(folder / "experiments.json") or read_json(folder / "summary.json")
        if "study" in study:
            _report_study(folder, study)
        else:
            _report_experiment(folder, study)
    except OSError as error:
        raise UserError(
            f"RUN_DIR {folder}: {error.filename} cannot be read or written ({error.strerror})."
        ) from error
    except NOT_AS_WRITTEN as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(
            f"RUN_DIR {folder}: one of its files does not hold what a recipe writes ({reason})."
        ) from error


def _report_study(folder: Path, study: dict[str, Any]) -> None:
    from ptu_seq.report.study import write_study_report

    check_no_links(folder)
    experiments = {name: folder / name for name in experiment_names(study, folder)}
    begun = [one for one in experiments.values() if (one / "results.jsonl").is_file()]
    if not begun:
        raise UserError(f"RUN_DIR {folder}: no run of this study has finished yet.")
    for experiment in begun:
        _report_experiment(experiment, read_json(experiment / "summary.json"))
    write_study_report(folder, study["study"], experiments)
    print(f"\nReport of all: {folder / 'report.html'}")


def _report_experiment(folder: Path, before: dict[str, Any]) -> None:
    if not (folder / "results.jsonl").is_file():
        raise UserError(
            f"RUN_DIR {folder}: accepted is the --output_dir of a recipe, with its results.jsonl, "
            "or that of a study."
        )
    # Imported here: torch and transformers take seconds to load, which `--help` should not cost.
    from ptu_seq.report import (
        format_table,
        read_results,
        write_figures,
        write_report,
        write_summary,
    )

    check_no_links(folder)
    study = read_json(folder / "study.json")
    recipe = before.get("recipe") or study.get("recipe")
    if not isinstance(recipe, str):
        raise UserError(f"RUN_DIR {folder}: neither summary.json nor study.json tells the recipe.")
    summary = write_summary(
        folder,
        recipe,
        command=before.get("command"),
        configuration=before.get("configuration") or study.get("configuration"),
    )
    write_figures(folder, summary, read_results(folder))
    if (folder / "translations").is_dir():
        from ptu_seq.trainer_setup import quiet_transformers
        from ptu_seq.translation.figures import write_translation_figures

        quiet_transformers()
        write_translation_figures(folder)
    page = write_report(folder)
    print(format_table(summary))
    print(f"\nReport: {page}")
