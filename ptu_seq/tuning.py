"""Which settings of a method are tried on validation data, and which of them is chosen.

A tuner is asked for settings and told what they scored. Its answers depend on the scores of the
cell alone, so that neither an interruption nor the number of processes changes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol

from ptu_seq.jobs import Cell, Grids, Setting
from ptu_seq.ranges import Checked, Range


class Trial(NamedTuple):
    """A setting that was tried, and its score on validation data."""

    setting: Setting
    score: float


Trials = Mapping[Cell, Sequence[Trial]]


class Tuner(Protocol):
    """Proposes settings for a cell of the table, and chooses one in the end."""

    def count(self, grid: Sequence[Setting]) -> int:
        """How many trials a cell gets, given its method's grid."""

    def begin(self, grids: Grids, trials: Trials) -> None:
        """Is told of the trials that an earlier process made, before all else."""

    def ask(
        self,
        cell: Cell,
        trials: Sequence[Trial],
        running: Sequence[Setting],
        grid: Sequence[Setting],
    ) -> Setting | None:
        """A setting to try next; None if there is none, or none before one that runs has ended.

        Args:
            cell: the cell that is tuned.
            trials: what has been tried in it.
            running: what is being tried.
            grid: the settings of its method.
        """

    def tell(self, cell: Cell, trials: Sequence[Trial], grid: Sequence[Setting]) -> None:
        """Is told that the last of these trials has ended."""

    def choose(self, trials: Sequence[Trial], grid: Sequence[Setting]) -> Setting | None:
        """The setting of the cell's runs; None until all its trials have ended."""


class GridTuner:
    """Tries each setting of a method's grid; of equal scores the first setting wins.

    Example:
        >>> grid = [{"learning_rate": 1e-3}, {"learning_rate": 1e-2}]
        >>> trials = [Trial(grid[1], 0.8), Trial(grid[0], 0.8)]
        >>> GridTuner().choose(trials, grid)
        {'learning_rate': 0.001}
    """

    def count(self, grid: Sequence[Setting]) -> int:
        """A grid of one setting needs no trial."""
        return len(grid) if len(grid) > 1 else 0

    def begin(self, grids: Grids, trials: Trials) -> None:
        """Nothing is kept beside the trials."""

    def ask(
        self,
        cell: Cell,
        trials: Sequence[Trial],
        running: Sequence[Setting],
        grid: Sequence[Setting],
    ) -> Setting | None:
        """The first setting that was not tried."""
        return next(iter(untried(trials, running, grid)), None) if self.count(grid) else None

    def tell(self, cell: Cell, trials: Sequence[Trial], grid: Sequence[Setting]) -> None:
        """Nothing is kept beside the trials."""

    def choose(self, trials: Sequence[Trial], grid: Sequence[Setting]) -> Setting | None:
        """The best; of equal ones the first of the grid."""
        if not self.count(grid):
            return grid[0]
        if untried(trials, [], grid):
            return None
        scores = {as_key(trial.setting): trial.score for trial in trials}
        return max(grid, key=lambda setting: scores[as_key(setting)])


def untried(
    trials: Sequence[Trial], running: Sequence[Setting], grid: Sequence[Setting]
) -> list[Setting]:
    """The settings of a grid that nobody has begun to try, in their order."""
    begun = {as_key(setting) for setting in (*running, *(trial.setting for trial in trials))}
    return [setting for setting in grid if as_key(setting) not in begun]


def as_key(setting: Setting) -> str:
    """A setting as what a dictionary can look up."""
    return json.dumps(dict(setting), sort_keys=True)


@dataclass
class TuningArguments(Checked):
    """How each method's setting is chosen."""

    _argument_group_name: ClassVar[str] = "tuning"

    tuning_trials: Annotated[int, Range(0)] = field(
        default=0,
        metadata={
            "help": "settings that Optuna tries for each method and cell, the same number for "
            "all, the method's own first; 0: each method's own alone, without Optuna"
        },
    )
    tuning_seed: Annotated[int, Range(0, 2**32 - 1)] = field(
        default=0, metadata={"help": "seed of Optuna's proposals"}
    )

    def configuration(self) -> dict[str, Any]:
        """What of it decides a run's numbers; nothing where methods have their own settings."""
        return (
            {"trials": self.tuning_trials, "seed": self.tuning_seed} if self.tuning_trials else {}
        )

    def tuner(self, output_dir: Path) -> Tuner:
        """The tuner of an experiment that is kept in a folder.

        Raises:
            UserError: if Optuna is wanted and not installed.
        """
        if not self.tuning_trials:
            return GridTuner()
        from ptu_seq.optuna_tuner import OptunaTuner  # an extra

        return OptunaTuner(self.tuning_trials, self.tuning_seed, output_dir / "optuna.db")
