"""Runs the experiments of a study file, one after the other, each by its recipe."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

from ptu_seq import formats
from ptu_seq.errors import UserError
from ptu_seq.experiment import Experiment, Launcher
from ptu_seq.jobs import Diverged, Job, Outcome
from ptu_seq.progress import Progress, Row
from ptu_seq.records import read_lines, write_json
from ptu_seq.report.results import read_results
from ptu_seq.report.study import write_study_report
from ptu_seq.report.summary import Summary
from ptu_seq.study_file import PlannedExperiment, StudyFile
from ptu_seq.workplace import alone_in


def run_study(study: StudyFile, launcher: Launcher, workers: int = 0) -> Summary | None:
    """Does what is missing of all experiments, and writes the summary of what is finished.

    An experiment that fails by a user's mistake does not keep the others from running.

    Args:
        study: the study.
        launcher: where jobs are done.
        workers: jobs at a time; 0: as many as the recipes say.

    Returns:
        The content of `summary.json`; None if no run has finished.

    Raises:
        UserError: after all others have run, if experiments failed; they are named. Before any
            has, if the folder is of a newer version's format or another process works there.
    """
    with alone_in(study.output_dir):
        formats.check_results(study.output_dir)
        return _run(study, launcher, workers)


def _run(study: StudyFile, launcher: Launcher, workers: int) -> Summary | None:
    # For `ptu-seq report` of a study that goes on or was killed, before there is a summary.
    named = [{"name": planned.name} for planned in study.experiments]
    write_json(
        study.output_dir / "experiments.json",
        {"study": study.name, "experiments": named, formats.KEY: formats.RESULTS.stamp()},
    )
    progress = Progress([planned_row(one) for one in study.experiments], sys.stderr)
    failures: list[str] = []
    try:
        for planned in study.experiments:
            print(f"\n{planned.name}", flush=True)
            conduct = _Conduct(planned.name, launcher, workers, progress)
            try:
                planned.module.main(planned.words, conduct)
            except UserError as error:
                print(f"{planned.name}: {error}", file=sys.stderr)
                failures.append(f"{planned.name}: {error}")
    finally:
        folders = {planned.name: planned.output_dir for planned in study.experiments}
        summary = write_study_report(study.output_dir, study.name, folders)
    if failures:
        raise UserError(f"{len(failures)} of {len(study.experiments)} failed: {' '.join(failures)}")
    return summary


@dataclass(frozen=True)
class _Conduct:
    """Carries out what a recipe has made ready."""

    name: str
    launcher: Launcher
    workers: int
    progress: Progress

    def __call__(self, experiment: Experiment) -> None:
        missing = experiment.missing()
        if not any(missing):
            return
        self.progress.begin(self.name, *missing)

        def tell(job: Job, outcome: Outcome | Diverged) -> None:
            self.progress.tell(self.name, job, outcome)

        workers = self.workers or experiment.workers
        replace(experiment, workers=workers).run(self.launcher, tell)


def planned_row(planned: PlannedExperiment) -> Row:
    """How many jobs an experiment has, and how many of them an earlier process finished."""
    plan = planned.plan
    asked = {(method, size) for method in plan.grids for size in plan.sizes}
    tried, finished = (
        # Those of other methods or sizes are of an earlier version of the study file.
        [line for line in lines if (line.get("method"), line.get("size")) in asked]
        for lines in (
            read_lines(planned.output_dir / "tuning.jsonl"),
            read_results(planned.output_dir),
        )
    )
    targets = len(planned.argument("target_datasets"))
    settings = sum(plan.tuner.count(grid) for grid in plan.grids.values())
    trials = settings * targets * len(plan.sizes)
    runs = len(plan.grids) * targets * len(plan.sizes) * len(plan.seeds)
    return Row(
        name=planned.name,
        recipe=planned.recipe,
        trials=trials,
        runs=runs,
        trials_done=min(trials, len(tried)),
        runs_done=min(runs, sum(run["seed"] in plan.seeds for run in finished)),
    )
