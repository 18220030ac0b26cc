"""What a study will take, from a few timed steps: `ptu-seq study --dry_run`."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ptu_seq.errors import UserError
from ptu_seq.experiment import Do, Experiment
from ptu_seq.jobs import TUNING_SEED, Job, Outcome
from ptu_seq.progress import duration
from ptu_seq.records import read_json
from ptu_seq.runner import JobRunner, usable_workers
from ptu_seq.study_file import PlannedExperiment, StudyFile
from ptu_seq.study_runs import planned_row

#: Optimisation steps of a probe; another one has a single step, and tells what is not steps.
PROBE_STEPS = 11

#: Where recipes note what their source's training took.
SOURCE_NOTES = ("source/source.json", "parent/parent.json")


def print_plan(study: StudyFile, workers: int = 0) -> None:
    """Prints what a study would do, and about how long that would take; writes nothing.

    Args:
        study: the study.
        workers: runs at a time; 0: as many as fit.

    Raises:
        UserError: for data that cannot be loaded, with the experiment's name.
    """
    workers = usable_workers(workers)
    width = max(len(planned.name) for planned in study.experiments)
    print(
        f"{'experiment':<{width}}  {'cells':>6}  {'tuning':>12}  {'runs':>12}  estimate", flush=True
    )
    total = 0.0
    for planned in study.experiments:
        row = planned_row(planned)
        try:
            seconds = estimate(planned, workers) if row.left else 0.0
        except UserError as error:
            raise UserError(f"{planned.name}: {error}") from error
        total += seconds
        cells = row.runs // len(planned.plan.seeds)
        print(
            f"{planned.name:<{width}}  {cells:>6}  {row.trials_done:>5} /{row.trials:>5}  "
            f"{row.runs_done:>5} /{row.runs:>5}  {duration(seconds)}",
            flush=True,
        )
    noun = "worker" if workers == 1 else "workers"
    print(
        f"\nAn estimate: about {duration(total)} with {workers} {noun}. It comes from "
        f"{PROBE_STEPS} timed steps of each method at its first setting, here and now; it takes "
        "every run to its last step, which early stopping often does not, and every source to its "
        f"step limit.\nNothing was written to {study.output_dir}."
    )


def estimate(planned: PlannedExperiment, workers: int) -> float:
    """Seconds that what is missing of an experiment will take.

    Args:
        planned: the experiment.
        workers: runs at a time.
    """
    evaluations = planned.argument("evaluations")
    probe = _Probe(evaluations)
    costs = [_prepare(planned, 1), _prepare(planned, PROBE_STEPS, probe)]
    limit = planned.argument(planned.module.SOURCE_STEPS)
    is_trained = any((planned.output_dir / note).exists() for note in SOURCE_NOTES)
    source = 0.0 if is_trained else Cost.of(*costs).seconds(limit, evaluations)
    row = planned_row(planned)
    trials = probe.trials * (1 - row.trials_done / row.trials) if row.trials else 0.0
    runs = probe.runs * (1 - row.runs_done / row.runs)
    return source + (trials + runs) / workers


class Cost(NamedTuple):
    """Seconds of a training's step and of an evaluation."""

    step: float
    evaluation: float

    @classmethod
    def of(cls, short: float, long: float) -> Cost:
        """From two trainings with one evaluation each, of one step and of `PROBE_STEPS`.

        Example:
            >>> Cost.of(short=3.0, long=23.0)
            Cost(step=2.0, evaluation=1.0)
        """
        step = max(0.0, (long - short) / (PROBE_STEPS - 1))
        return cls(step, max(0.0, short - step))

    def seconds(self, steps: int, evaluations: int) -> float:
        """Of a training."""
        return steps * self.step + evaluations * self.evaluation


def _prepare(planned: PlannedExperiment, steps: int, conduct: _Probe | None = None) -> float:
    """Has the recipe make ready a study elsewhere; the seconds that so many steps took its source.

    Args:
        planned: the experiment.
        steps: of the source's training, with one evaluation.
        conduct: what then is done.
    """
    with tempfile.TemporaryDirectory() as folder:
        cut = [f"--output_dir={folder}", f"--{planned.module.SOURCE_STEPS}={steps}"]
        with contextlib.redirect_stdout(io.StringIO()):
            planned.module.main([*planned.words, *cut, "--evaluations=1"], conduct or _nothing)
        notes = [read_json(Path(folder) / note) for note in SOURCE_NOTES]
        return sum(note.get("seconds", 0.0) for note in notes)


def _nothing(experiment: Experiment) -> None:
    pass


@dataclass
class _Probe:
    """Does two short runs of each method, and reckons up what all of an experiment's would take.

    Args:
        evaluations: of a training.
        trials: seconds of all tuning jobs.
        runs: seconds of all reported runs.
    """

    evaluations: int
    trials: float = 0.0
    runs: float = 0.0

    def __call__(self, experiment: Experiment) -> None:
        plan = experiment.plan
        costs = self._costs(experiment)
        for cell in experiment.cells:
            cost, rest = costs[cell.method]
            grid = plan.grids[cell.method]
            steps = experiment.jobs.budget(Job(cell, grid[0], plan.seeds[0]))
            training = cost.seconds(steps, self.evaluations)
            self.trials += plan.tuner.count(grid) * training
            self.runs += len(plan.seeds) * (training + rest)

    def _costs(self, experiment: Experiment) -> Mapping[str, tuple[Cost, float]]:
        """Of each method, and the seconds that a run takes beside its training."""
        first = {cell.method: cell for cell in reversed(experiment.cells)}
        plan = experiment.plan
        # A tuning job ends with its training; the test that comes after it is timed once.
        trials, runs = (
            [Job(first[method], grid[0], seed) for method, grid in plan.grids.items()]
            for seed in (TUNING_SEED, plan.seeds[0])
        )
        probes = (
            _timed(_shortened(experiment.jobs, 1), trials),
            _timed(_shortened(experiment.jobs, PROBE_STEPS), runs),
        )
        return {
            job.cell.method: (
                Cost.of(short.outcome.seconds, long.outcome.seconds),
                long.seconds - long.outcome.seconds,
            )
            for job, short, long in zip(runs, *probes, strict=True)
        }


class _Timed(NamedTuple):
    """What a job came to, and the seconds that all of it took."""

    outcome: Outcome
    seconds: float


def _timed(do: Do, jobs: list[Job]) -> list[_Timed]:
    with JobRunner(partial(_time, do), workers=1) as runner:
        return [outcome for _, outcome in runner(jobs)]


def _time(do: Do, job: Job) -> _Timed:
    started = time.perf_counter()
    return _Timed(do(job), time.perf_counter() - started)


def _shortened(jobs: Any, steps: int) -> Any:
    """A recipe's jobs with so many steps of training, and one evaluation after them."""
    cut = {"min_steps": steps, "max_steps": steps, "evaluations": 1}
    return replace(jobs, training=replace(jobs.training, **cut))
