"""What tuners try and choose, in any order of ends, and over interruptions."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from ptu_seq.jobs import Cell, Setting
from ptu_seq.methods import METHODS
from ptu_seq.methods.translation import TRANSLATION_METHODS
from ptu_seq.methods.vision import IMAGE_METHODS
from ptu_seq.optuna_tuner import OptunaTuner, Space, in_order
from ptu_seq.tuning import GridTuner, Trial

CELL = Cell("trec", 100, "ptu")
GRID: list[Setting] = [
    {"init": "source", "learning_rate": 1e-3, "bias": {"rnn": -3.0}},
    {"init": "source", "learning_rate": 1e-2, "bias": {"rnn": -1.0}},
]
ALL_METHODS = {
    f"{task}:{name}": method
    for task, methods in (
        ("text", METHODS),
        ("image", IMAGE_METHODS),
        ("translation", TRANSLATION_METHODS),
    )
    for name, method in methods.items()
}


def score(setting: Setting) -> float:
    """Best near a learning rate of 3e-3."""
    return 1.0 - abs(float(setting["learning_rate"]) - 3e-3)


def optuna_tuner(folder: Path, trials: int = 6) -> OptunaTuner:
    return OptunaTuner(trials, 0, folder / "optuna.db")


def tune(tuner: OptunaTuner, trials: Sequence[Trial] = ()) -> list[Trial]:
    """All of a cell's trials, after those given."""
    made = list(trials)
    tuner.begin({"ptu": GRID}, {CELL: made} if made else {})
    while (setting := tuner.ask(CELL, made, [], GRID)) is not None:
        made.append(Trial(setting, score(setting)))
        tuner.tell(CELL, made, GRID)
    return made


def stored(tuner: OptunaTuner) -> list[float | None]:
    (study,) = tuner._stored().values()
    return [trial.value for trial in study.trials]


def test_a_grid_is_tried_whole_and_side_by_side():
    tuner = GridTuner()
    assert tuner.count(GRID) == 2
    assert tuner.ask(CELL, [], [], GRID) == GRID[0]
    assert tuner.ask(CELL, [], GRID[:1], GRID) == GRID[1]
    assert tuner.ask(CELL, [Trial(GRID[1], 0.5)], GRID[:1], GRID) is None
    assert tuner.choose([Trial(GRID[1], 0.5)], GRID) is None


def test_a_single_setting_needs_no_trial():
    tuner = GridTuner()
    assert (tuner.count(GRID[:1]), tuner.ask(CELL, [], [], GRID[:1])) == (0, None)
    assert tuner.choose([], GRID[:1]) == GRID[0]


def test_optuna_begins_with_the_grid_and_then_waits_for_scores(tmp_path: Path):
    tuner = optuna_tuner(tmp_path)
    assert tuner.ask(CELL, [], [], GRID) == GRID[0]
    assert tuner.ask(CELL, [], GRID[:1], GRID) == GRID[1]
    assert tuner.ask(CELL, [Trial(GRID[0], 0.5)], GRID[1:], GRID) is None
    assert tuner.choose([Trial(GRID[0], 0.5)], GRID) is None


def test_every_cell_gets_as_many_trials_and_the_best_is_chosen(tmp_path: Path):
    tuner = optuna_tuner(tmp_path)
    trials = tune(tuner)
    assert len(trials) == 6
    best = max(trials, key=lambda trial: trial.score)
    assert tuner.choose(trials, GRID) == best.setting
    assert stored(tuner) == [trial.score for trial in trials]
    few = optuna_tuner(tmp_path, trials=1)
    assert few.ask(CELL, [Trial(GRID[0], 0.5)], [], GRID) is None


@pytest.mark.parametrize("kept", [1, 2, 4, 6])
def test_an_interrupted_tuning_goes_on_as_if_it_had_not_been(tmp_path: Path, kept: int):
    (tmp_path / "once").mkdir()
    whole = tune(optuna_tuner(tmp_path / "once"))
    tuner = optuna_tuner(tmp_path)
    # The grid's settings may have ended in another order, as they run side by side.
    assert tune(tuner, whole[:kept]) == whole
    assert in_order([*whole[1::-1], *whole[2:]], GRID) == whole
    assert stored(tuner) == [trial.score for trial in whole]


def test_the_database_is_made_again_if_it_lacks_trials_or_is_damaged(tmp_path: Path, caplog):
    tuner = optuna_tuner(tmp_path)
    trials = tune(tuner)
    shorter = optuna_tuner(tmp_path)
    shorter.begin({"ptu": GRID}, {CELL: trials[:4]})
    assert stored(shorter) == [trial.score for trial in trials[:4]]
    tuner.database.write_bytes(b"half a database" * 100)
    again = optuna_tuner(tmp_path)
    again.begin({"ptu": GRID}, {CELL: trials})
    assert stored(again) == [trial.score for trial in trials]
    (said,) = caplog.messages
    assert "optuna.db cannot be used (" in said and "\n" not in said


def test_a_database_that_can_be_read_but_not_mended_is_made_again(tmp_path: Path):
    tuner = optuna_tuner(tmp_path)
    trials = tune(tuner)
    with closing(sqlite3.connect(tuner.database)) as connection:
        connection.execute(
            "CREATE TRIGGER broken BEFORE DELETE ON studies BEGIN DELETE FROM gone; END"
        )
    again = optuna_tuner(tmp_path)
    again.begin({"ptu": GRID}, {CELL: trials[:4]})
    assert stored(again) == [trial.score for trial in trials[:4]]


def test_the_database_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch):
    """One without its last index, as a full disk leaves it, would take the same name twice."""

    def fills_the_disk(url: str) -> None:
        Path(url.removeprefix("sqlite:///")).write_bytes(b"half a database")
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr("optuna.storages.RDBStorage", fills_the_disk)
        with pytest.raises(OSError, match="full"):
            tune(optuna_tuner(tmp_path))
    assert list(tmp_path.iterdir()) == []
    tuner = optuna_tuner(tmp_path)
    made = tune(tuner)
    assert stored(tuner) == [trial.score for trial in made]


def test_the_database_forgets_trials_that_were_not_written_down(tmp_path: Path):
    tune(optuna_tuner(tmp_path))
    again = optuna_tuner(tmp_path)
    again.begin({"ptu": GRID}, {})
    assert again._stored() == {}


@pytest.mark.parametrize("name", ALL_METHODS)
def test_every_grid_lies_in_its_space(name: str):
    grid = ALL_METHODS[name].settings(2)
    space = Space.of(grid)
    distributions = space.distributions()
    assert space.bounds, "something is varied"
    for setting in grid:
        parameters = space.parameters(setting)
        assert space.setting(parameters) == setting
        assert list(space.setting(parameters)) == [k for k in space.order if k in setting]
        for key, value in parameters.items():
            assert distributions[key]._contains(distributions[key].to_internal_repr(value))


def test_numbers_are_varied_and_all_else_stays_together():
    grid = [
        {"learning_rate": 0.0, "head_learning_rate": 1e-3, "pull": 1.0, "decay": 2.6, "share": 0.3},
        {"learning_rate": 0.0, "head_learning_rate": 1e-2, "pull": 9.0, "decay": 1.3, "share": 0.2},
    ]
    space = Space.of(grid)
    assert space.bounds == {"head_learning_rate": (3.33e-4, 3e-2), "pull": (0.333, 27.0)}
    assert [(o["decay"], o["share"]) for o in space.others] == [(2.6, 0.3), (1.3, 0.2)]
