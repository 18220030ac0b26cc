"""Optuna as a tuner: the same number of trials for every method, kept in SQLite.

Optuna (Akiba et al., KDD 2019) proposes settings by its tree-structured Parzen estimator.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptu_seq.errors import UserError
from ptu_seq.jobs import Cell, Grids, Setting
from ptu_seq.records import content_digest, whole_file
from ptu_seq.tuning import Trial, Trials, as_key, untried

try:
    import optuna
except ModuleNotFoundError as error:
    raise UserError(
        "tuning by Optuna needs a package that is not installed: pip install 'ptu-seq[study]'."
    ) from error

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

logger = logging.getLogger("ptu_seq")

#: What is varied beside learning rates: how strongly something counts.
STRENGTHS = ("alignment", "distillation", "pull", "weight_decay")

#: How far beyond a grid's smallest and largest value numbers are varied.
MARGIN = 3.0

#: The name, in a space, of all that is not varied as a number.
OTHERS = "others"


@dataclass(frozen=True)
class Space:
    """What Optuna may propose, derived from a method's grid.

    Every learning rate, and each of `STRENGTHS`, that is above 0 in all settings is drawn from a
    third of its smallest to three times its largest value, uniformly in the logarithm. All else
    (starts, biases, dropouts, shares, cuts) belongs together, as in the grid: one of the grid's
    combinations is taken whole.

    Args:
        bounds: the lowest and highest value of what is varied.
        others: the combinations of all else.
        order: the keys of a setting.

    Example:
        >>> low, high = {"learning_rate": 1e-3, "cut": 0}, {"learning_rate": 3e-3, "cut": 2}
        >>> space = Space.of([low, high])
        >>> space.bounds, space.others
        ({'learning_rate': (0.000333, 0.009)}, [{'cut': 0}, {'cut': 2}])
    """

    bounds: Mapping[str, tuple[float, float]]
    others: Sequence[Setting]
    order: Sequence[str]

    @classmethod
    def of(cls, grid: Sequence[Setting]) -> Space:
        """The space of a grid."""
        keys = list(dict.fromkeys(key for setting in grid for key in setting))
        varied = {
            key: [setting.get(key, 0.0) for setting in grid]
            for key in keys
            if key.endswith("learning_rate") or key in STRENGTHS
        }
        bounds = {
            key: (_rounded(min(values) / MARGIN), _rounded(max(values) * MARGIN))
            for key, values in varied.items()
            if min(values) > 0
        }
        rest = [{k: v for k, v in setting.items() if k not in bounds} for setting in grid]
        return cls(bounds, list({as_key(others): others for others in rest}.values()), keys)

    def distributions(self) -> dict[str, BaseDistribution]:
        """The space as Optuna knows it."""
        numbers: dict[str, BaseDistribution] = {
            key: optuna.distributions.FloatDistribution(low, high, log=True)
            for key, (low, high) in self.bounds.items()
        }
        places = range(len(self.others))
        return {**numbers, OTHERS: optuna.distributions.CategoricalDistribution(list(places))}

    def parameters(self, setting: Setting) -> dict[str, Any]:
        """A setting as a point of the space."""
        others = as_key({k: v for k, v in setting.items() if k not in self.bounds})
        place = [as_key(one) for one in self.others].index(others)
        return {**{key: setting[key] for key in self.bounds}, OTHERS: place}

    def setting(self, parameters: Mapping[str, Any]) -> Setting:
        """A point of the space as a setting, numbers to three digits."""
        numbers = {key: _rounded(parameters[key]) for key in self.bounds}
        found = {**numbers, **self.others[parameters[OTHERS]]}
        return {key: found[key] for key in self.order if key in found}


class OptunaTuner:
    """Gives every method and cell the same number of trials.

    The first trials are the settings of the method's grid. Then the tree-structured Parzen
    estimator proposes one after the other, each from the scores before it: what it proposes depends
    on them, on the seed and on the trial's number alone, so a study that was interrupted goes on as
    if it had not been.

    `tuning.jsonl` is what counts. The database has the same trials, for Optuna's own tools; it is
    made anew where it lacks some.

    Args:
        trials: how many a cell gets.
        seed: of the proposals.
        database: an SQLite file; this process alone writes it.
    """

    def __init__(self, trials: int, seed: int, database: Path) -> None:
        self.trials = trials
        self.seed = seed
        self.database = database

    def count(self, grid: Sequence[Setting]) -> int:
        """The same for all."""
        return self.trials

    def begin(self, grids: Grids, trials: Trials) -> None:
        """Makes the database hold the trials of these methods that there were, and no others."""
        try:
            self._complete(grids, trials)
        except Exception as error:  # whatever the driver of a damaged file raises
            reason = str(error).partition("\n")[0]  # the others are statements and addresses
            logger.warning("%s cannot be used (%s); it is made anew.", self.database, reason)
            vars(self).pop("_storage", None)
            self.database.unlink(missing_ok=True)
            self._complete(grids, trials)

    def ask(
        self,
        cell: Cell,
        trials: Sequence[Trial],
        running: Sequence[Setting],
        grid: Sequence[Setting],
    ) -> Setting | None:
        """A setting of the grid, side by side; then proposals, one after the other."""
        waiting = untried(trials, running, grid[: self.trials])
        if waiting:
            return waiting[0]
        if running or len(trials) >= self.trials:
            return None
        return self._propose(cell, in_order(trials, grid), grid)

    def tell(self, cell: Cell, trials: Sequence[Trial], grid: Sequence[Setting]) -> None:
        """Adds the last trial to the database."""
        self._study(cell).add_trials(_as_optuna(trials[-1:], grid))

    def choose(self, trials: Sequence[Trial], grid: Sequence[Setting]) -> Setting | None:
        """The best; of equal ones that which was proposed first."""
        if len(trials) < self.trials:
            return None
        return max(in_order(trials, grid), key=lambda trial: trial.score).setting

    def _propose(self, cell: Cell, trials: Sequence[Trial], grid: Sequence[Setting]) -> Setting:
        place = [self.seed, cell.target, cell.size, cell.method, len(trials)]
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=len(grid), seed=int(content_digest(place)[:8], 16)
        )
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.add_trials(_as_optuna(trials, grid))
        space = Space.of(grid)
        return space.setting(study.ask(space.distributions()).params)

    def _study(self, cell: Cell) -> optuna.Study:
        return optuna.create_study(
            study_name=_name(cell),
            storage=self._storage,
            direction="maximize",
            load_if_exists=True,
        )

    def _complete(self, grids: Grids, trials: Trials) -> None:
        tried = {_name(cell): cell for cell, ones in trials.items() if ones}
        for name, study in self._stored().items():
            if name not in tried or len(study.trials) != len(trials[tried[name]]):
                optuna.delete_study(study_name=name, storage=self._storage)
        stored = self._stored()
        for name, cell in tried.items():
            if cell.method in grids and name not in stored:
                self._study(cell).add_trials(_as_optuna(trials[cell], grids[cell.method]))

    def _stored(self) -> dict[str, optuna.Study]:
        if not self.database.exists():
            return {}
        names = optuna.get_all_study_names(self._storage)
        return {name: optuna.load_study(study_name=name, storage=self._storage) for name in names}

    @cached_property
    def _storage(self) -> optuna.storages.RDBStorage:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if not self.database.exists():
            # Whole or not at all: one that a full disk left without an index takes trials twice.
            with whole_file(self.database) as half:
                half.unlink(missing_ok=True)  # by a kill
                optuna.storages.RDBStorage(f"sqlite:///{half}").engine.dispose()
        return optuna.storages.RDBStorage(f"sqlite:///{self.database}")


def in_order(trials: Sequence[Trial], grid: Sequence[Setting]) -> list[Trial]:
    """Trials as one process would have made them: those of the grid first, in its order."""
    places = {as_key(setting): place for place, setting in reversed(list(enumerate(grid)))}
    return sorted(trials, key=lambda trial: places.get(as_key(trial.setting), len(grid)))


def _as_optuna(trials: Sequence[Trial], grid: Sequence[Setting]) -> list[optuna.trial.FrozenTrial]:
    space = Space.of(grid)
    return [
        optuna.trial.create_trial(
            params=space.parameters(trial.setting),
            distributions=space.distributions(),
            value=trial.score,
        )
        for trial in trials
    ]


def _name(cell: Cell) -> str:
    return f"{cell.target}, size {cell.size}, {cell.method}"


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
