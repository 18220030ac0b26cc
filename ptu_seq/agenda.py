"""The order of a study's jobs: what may begin, given what has ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from ptu_seq.jobs import TUNING_SEED, Cell, Grids, Job, Setting
from ptu_seq.tuning import Trial, Trials, Tuner


class Agenda(Iterator[Job]):
    """Hands out jobs: for each target and size first the tuning, then the runs.

    Unlike other iterators it may go on after its end. It ends where no job can begin *yet*, as a
    proposal waits for the scores of earlier ones, and a run for its cell's tuning; once it was told
    of an outcome, ask again. Whoever does one job after the other has nothing to wait for, so a
    plain loop over it does all.

    Args:
        groups: the runs to be done, as cell and seed, a group a target and size.
        grids: the settings of the methods.
        tuner: proposes and chooses.
        trials: those of earlier processes.
    """

    def __init__(
        self,
        groups: Iterable[Sequence[tuple[Cell, int]]],
        grids: Grids,
        tuner: Tuner,
        trials: Trials,
    ) -> None:
        self.grids = grids
        self.tuner = tuner
        self._groups = [list(group) for group in groups]
        self._trials = {cell: list(tried) for cell, tried in trials.items()}
        self._running: dict[Cell, list[Setting]] = {}

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Job:
        for group in self._groups:
            job = self._next_trial(group) or self._next_run(group)
            if job is not None:
                return job
        raise StopIteration

    def tell(self, job: Job, score: float) -> None:
        """Notes that a job has ended, and its validation score."""
        if not job.is_tuning:
            return
        self._running[job.cell].remove(job.setting)
        trials = self._trials.setdefault(job.cell, [])
        trials.append(Trial(job.setting, score))
        self.tuner.tell(job.cell, trials, self.grids[job.cell.method])

    def _next_trial(self, group: list[tuple[Cell, int]]) -> Job | None:
        for cell in dict.fromkeys(cell for cell, _ in group):
            running = self._running.setdefault(cell, [])
            trials, grid = self._trials.get(cell, []), self.grids[cell.method]
            setting = self.tuner.ask(cell, trials, running, grid)
            if setting is not None:
                running.append(setting)
                return Job(cell, setting, TUNING_SEED)
        return None

    def _next_run(self, group: list[tuple[Cell, int]]) -> Job | None:
        for place, (cell, seed) in enumerate(group):
            chosen = self.tuner.choose(self._trials.get(cell, []), self.grids[cell.method])
            if chosen is not None:
                del group[place]
                return Job(cell, chosen, seed)
        return None
