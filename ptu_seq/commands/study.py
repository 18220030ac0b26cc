"""`ptu-seq study`: many experiments of all recipes, from one file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptu_seq.commands.arguments import positive
from ptu_seq.errors import UserError

if TYPE_CHECKING:
    from ptu_seq.experiment import Launcher


def add(commands: Any) -> None:
    """Adds the parser."""
    study = commands.add_parser(
        "study",
        help="run many experiments of all recipes, from one file",
        description="Runs the experiments of a study file, each by its recipe; the same command "
        "again goes on where it was stopped.",
        epilog="A study file has `experiments`, a list of recipes with their flags, as in "
        "`- {recipe: image_pair, source_dataset: mnist, sizes: [3, 10]}` (`ptu-seq run RECIPE "
        "--help` explains them); and, if wanted, `name`, `output_dir`, `defaults` for all recipes "
        "that have the flag, and `tuning: {trials: 8}` for as many trials of every method. An "
        "example is recipes/configs/study_quick.yaml.",
    )
    study.add_argument("file", metavar="STUDY.yaml", help="the study file")
    study.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="runs at a time; 1: in this process (default: as many as fit, at most 4)",
    )
    study.add_argument(
        "--launcher",
        choices=("process", "ray"),
        default="process",
        help="where runs are done: process, on this machine (default); ray, on a Ray cluster",
    )
    study.add_argument(
        "--ray_address",
        metavar="ADDRESS",
        help="the cluster's, such as auto or ray://HOST:10001 (default: one is started here); "
        "its machines must see the study's folders and data under the same paths",
    )
    study.add_argument(
        "--dry_run",
        action="store_true",
        help="print the plan and its estimated time, from a few timed steps, and write nothing",
    )
    study.set_defaults(command=_study)


def _study(arguments: argparse.Namespace) -> None:
    if arguments.ray_address is not None and arguments.launcher != "ray":
        raise UserError("--ray_address is of --launcher ray, which is not given.")
    # Imported here: transformers takes seconds to load, which `--help` should not cost.
    from ptu_seq.distributed import world_size
    from ptu_seq.estimate import print_plan
    from ptu_seq.study_file import read_study
    from ptu_seq.study_runs import run_study

    study = read_study(Path(arguments.file))
    if arguments.dry_run:
        if world_size() > 1:
            raise UserError("--dry_run times the steps of a single process; give it no launcher.")
        print_plan(study, arguments.workers or 0)
        return
    launcher, workers = _launcher(arguments)
    try:
        run_study(study, launcher, workers)
    except KeyboardInterrupt:
        print("\nWhat was finished is kept; the same command goes on from there.", file=sys.stderr)
        raise
    print(f"\nSummary of all experiments: {study.output_dir / 'summary.md'}")


def _launcher(arguments: argparse.Namespace) -> tuple[Launcher, int]:
    """Where runs are done, and how many at a time (0: as many as the recipes say)."""
    if arguments.launcher == "process":
        from ptu_seq.experiment import on_this_machine
        from ptu_seq.runner import usable_workers

        workers = arguments.workers or 0
        usable_workers(workers)  # or refused now, before any data is read
        return on_this_machine, workers
    from ptu_seq.distributed import world_size

    if world_size() > 1:
        raise UserError(
            f"--launcher ray starts its own processes; {world_size()} were started already: give "
            "the command without torchrun or accelerate launch."
        )
    try:
        from ptu_seq.ray_runner import RayRunner
    except ModuleNotFoundError as error:
        raise UserError(
            "--launcher ray needs a package that is not installed: pip install 'ptu-seq[ray]'."
        ) from error

    address, given = arguments.ray_address, arguments.workers

    def on_cluster(do: Any, workers: int) -> RayRunner:
        return RayRunner(do, given or (0 if address else workers), address)

    return on_cluster, 0
