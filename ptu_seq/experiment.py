"""What a recipe plans, what it makes ready, and how that is carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from tqdm.auto import tqdm

from ptu_seq.distributed import Together, world_size
from ptu_seq.jobs import Cell, Diverged, Grids, Job, Outcome, Runner, Size, Surviving
from ptu_seq.runner import JobRunner
from ptu_seq.study import Study
from ptu_seq.tuning import Tuner

Do = Callable[[Job], Outcome]
OnEnd = Callable[[Job, Outcome], None]
Tell = Callable[[Job, Outcome | Diverged], None]

Launcher = Callable[[Callable[[Job], Outcome | Diverged], int], AbstractContextManager[Runner]]
"""Makes a context that does jobs, so many at a time: :class:`ptu_seq.runner.JobRunner` is one."""


@dataclass(frozen=True)
class Plan:
    """What a recipe's arguments ask for, known before anything is loaded.

    Args:
        sizes: of the targets' training sets.
        grids: the settings to choose from, by method; its methods are those that are compared.
        seeds: of the reported runs.
        tuner: chooses each cell's setting.
    """

    sizes: Sequence[Size]
    grids: Grids
    seeds: Sequence[int]
    tuner: Tuner

    def cells(self, targets: Iterable[str]) -> list[Cell]:
        """The cells of the table."""
        return [Cell(t, size, m) for t in targets for size in self.sizes for m in self.grids]


@dataclass(frozen=True)
class Experiment:
    """One source, its targets and the jobs between them.

    Args:
        study: keeps what is finished.
        plan: what the recipe's arguments ask for.
        targets: names of the target data sets.
        jobs: does a job; picklable.
        workers: jobs at a time.
        on_end: what the recipe does with an outcome before it counts as finished.
    """

    study: Study
    plan: Plan
    targets: Sequence[str]
    jobs: Any
    workers: int
    on_end: OnEnd

    @property
    def cells(self) -> list[Cell]:
        """The cells of the table."""
        return self.plan.cells(self.targets)

    def missing(self) -> tuple[int, int]:
        """How many tuning jobs and runs are still to be done."""
        plan, cells = self.plan, self.cells
        trials = self.study.missing_trials(cells, plan.grids, plan.seeds, plan.tuner)
        return trials, len(self.study.missing_runs(cells, plan.seeds))

    def run(self, launcher: Launcher, tell: Tell) -> None:
        """Does what is missing.

        Args:
            launcher: where jobs are done.
            tell: is told of every job that ended.
        """

        def on_end(job: Job, outcome: Outcome) -> None:
            self.on_end(job, outcome)
            tell(job, outcome)

        plan = self.plan
        with launcher(Surviving(self.jobs), self.workers) as runner:
            self.study.run(
                self.cells, plan.grids, plan.seeds, runner, on_end, plan.tuner, on_diverged=tell
            )


def on_this_machine(
    do: Callable[[Job], Outcome | Diverged], workers: int
) -> JobRunner[Job, Outcome | Diverged]:
    """Does jobs side by side in processes of this machine; a launcher's do each job together.

    Args:
        do: does a job.
        workers: jobs at a time: see :func:`ptu_seq.runner.usable_workers`.
    """
    return JobRunner(do, workers) if world_size() == 1 else JobRunner(Together(do), workers=1)


Conduct = Callable[[Experiment], None]
"""What is done with an experiment that a recipe has made ready."""


def run_here(experiment: Experiment) -> None:
    """Does what is missing in processes of this machine or launcher, with a progress bar."""
    missing = sum(experiment.missing())
    with tqdm(total=missing, unit="run", desc="Transfer", disable=not missing) as bar:

        def tell(job: Job, outcome: Outcome | Diverged) -> None:
            bar.set_postfix_str(f"{job.cell.target} {job.cell.size} {job.cell.method}")
            bar.update()

        experiment.run(on_this_machine, tell)
