"""`ptu-seq reproduce`: a finished run made again, and compared with what was noted of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptu_seq.commands.arguments import positive
from ptu_seq.errors import UserError, closest

if TYPE_CHECKING:
    from ptu_seq.report.results import Result


def add(commands: Any) -> None:
    """Adds the parser."""
    reproduce = commands.add_parser(
        "reproduce",
        help="make finished runs again, and compare them with their lines",
        description="Trains one run of a recipe's output folder again, from the source network "
        "and the arguments that are kept there, and compares scores, steps and predictions. "
        "Nothing in the folder changes. Ends with 0 if all is identical, and with 1 if not.",
        epilog="Data sets that were given as a path are looked for from here, as the recipe "
        "looked for them where it was run.",
    )
    reproduce.add_argument("run_dir", metavar="RUN_DIR", help="a recipe's --output_dir")
    which = reproduce.add_mutually_exclusive_group()
    which.add_argument(
        "--run", metavar="RUN_ID", help="the run of this run_id (default: that of the last line)"
    )
    which.add_argument(
        "--line", type=positive, metavar="N", help="the run of this line of results.jsonl"
    )
    which.add_argument("--all", action="store_true", help="all runs of results.jsonl")
    reproduce.set_defaults(command=_reproduce)


def _reproduce(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.run_dir)
    if not (folder / "results.jsonl").is_file():
        raise UserError(
            f"RUN_DIR {folder}: accepted is the --output_dir of a recipe, with its results.jsonl, "
            "such as an experiment's folder in that of a study."
        )
    # Imported here: transformers takes seconds to load, which `--help` should not cost.
    from ptu_seq.reproduce import reproduce

    out = sys.stdout  # while recipes' own words are held back
    chosen = _chosen(folder, arguments)
    made = reproduce(folder, chosen, lambda run: print(run, file=out, flush=True))
    same = sum(not run.differences for run in made)
    if len(made) > 1:
        print(f"\n{same} of {len(made)} runs are identical.")
    return int(same < len(made))


def _chosen(folder: Path, arguments: argparse.Namespace) -> list[Result]:
    """The lines of the runs that are asked for."""
    from ptu_seq.records import read_lines
    from ptu_seq.report.results import read_results

    runs = read_results(folder)
    if not runs:
        raise UserError(f"RUN_DIR {folder}: no run has finished yet.")
    if arguments.all:
        return runs
    if arguments.run is not None:
        names = [run["run_id"] for run in runs]
        if arguments.run not in names:
            raise UserError(
                f"--run {arguments.run}: {folder / 'results.jsonl'} has no such run_id"
                f"{closest(arguments.run, names)}."
            )
        return [runs[names.index(arguments.run)]]
    lines = read_lines(folder / "results.jsonl")
    number = arguments.line or len(lines)
    if number > len(lines):
        raise UserError(
            f"--line {number}: accepted is up to {len(lines)}, as {folder / 'results.jsonl'} has "
            "no more lines."
        )
    if lines[number - 1] not in runs:
        raise UserError(f"--line {number}: it is not complete, or a later line is of the same run.")
    return [lines[number - 1]]
