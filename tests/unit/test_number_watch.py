"""A training that comes to numbers that are none ends at once, says where, and leaves the rest."""

from __future__ import annotations

import itertools
import json
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from ptu_seq.agenda import Agenda
from ptu_seq.batches import WithinRange, pad
from ptu_seq.checkpoints import Checkpoints
from ptu_seq.errors import NumericalError, UserError
from ptu_seq.jobs import Cell, Diverged, Job, Outcome, Surviving
from ptu_seq.number_watch import NumberWatch
from ptu_seq.optuna_tuner import OptunaTuner
from ptu_seq.records import read_lines
from ptu_seq.resumable_trainer import ResumableTrainer
from ptu_seq.runner import JobRunner
from ptu_seq.study import DIVERGED_SCORE, Study
from ptu_seq.tuning import GridTuner
from tests.unit.resuming import EPOCH, KINDS, STEPS, text, text_examples

GRIDS = {"a": [{"rate": 1}, {"rate": 2}], "b": [{"rate": 1}]}


@pytest.mark.parametrize("kind", KINDS)
def test_ends_at_the_step_and_says_where(kind: str, tmp_path: Path):
    checkpoints = Checkpoints(tmp_path / "run", identity=0)
    with pytest.raises(NumericalError) as caught:
        KINDS[kind]("ptu", poisoned=7)(checkpoints, None)
    details = caught.value.details
    last = tmp_path / "run" / "step-000000006"
    assert (details["step"], details["checkpoint"]) == (7, str(last))
    assert str(caught.value).startswith("step 7: the loss is not a finite number (learning rate ")
    assert str(caught.value).endswith(f"; the last checkpoint before it is {last}.")
    assert last.is_dir()
    # From there it goes on.
    ended = KINDS[kind]("ptu")(Checkpoints(tmp_path / "run", identity=0), None)
    assert ended.taken == list(range(7, STEPS + 1))
    assert all(w.isfinite().all() for w in ended.weights.values() if w.is_floating_point())


@pytest.mark.parametrize("step", [2, EPOCH, EPOCH + 2])
def test_names_the_examples_of_the_batch(step: int, monkeypatch: pytest.MonkeyPatch):
    read: list[torch.Tensor] = []
    train_on = ResumableTrainer.training_step

    def spy(trainer: ResumableTrainer, model: Any, inputs: dict[str, Any], *more: Any) -> Any:
        read.append(inputs["input_ids"].cpu())
        return train_on(trainer, model, inputs, *more)

    monkeypatch.setattr(ResumableTrainer, "training_step", spy)
    with pytest.raises(NumericalError) as caught:
        text("fine_tune", poisoned=step, gradient_accumulation_steps=1)(None, None)
    data, details = text_examples(4 * EPOCH - 1, 1), caught.value.details
    batch = pad([data[i] for i in details["examples"]], 0)["input_ids"]
    assert torch.equal(batch, read[-1])
    assert len(batch) == (3 if step == EPOCH else 4)
    assert details["checkpoint"] is None
    assert "no checkpoint had been written" in str(caught.value)
    assert f"examples {details['examples'][0]}, {details['examples'][1]}" in str(caught.value)


def test_a_gradient_without_numbers_ends_it_before_the_step(monkeypatch: pytest.MonkeyPatch):
    clip = ResumableTrainer._clip_grad_norm
    monkeypatch.setattr(
        ResumableTrainer, "_clip_grad_norm", lambda self, model: clip(self, model) + torch.inf
    )
    with pytest.raises(NumericalError, match="step 1: the norm of the gradient is not a finite"):
        text("fine_tune")(None, None)


def test_a_gpu_is_asked_at_checks_alone():
    watch = NumberWatch(torch.device("cpu"))
    watch._at_once = False  # as on a GPU
    for step, loss in ((1, 0.5), (2, torch.inf), (3, torch.nan)):
        watch.begin(step, [step, 10 + step], 0.1)
        watch.note("norm of the gradient", step, torch.tensor(1.0 if step < 3 else torch.nan), None)
        watch.note("loss", step, torch.tensor(loss), None)
    with pytest.raises(NumericalError, match="step 2: the loss is .* examples 2, 12 of"):
        watch.check(None)


def test_only_small_scales_make_an_overflow_of_half_precision_a_failure():
    class Scaler:
        _scale = torch.tensor(2.0)

    trainer = object.__new__(ResumableTrainer)
    trainer._watch = NumberWatch(torch.device("cpu"))
    trainer.checkpoints = None
    trainer.state = type("State", (), {"global_step": 4})()
    trainer.accelerator = type("Accelerator", (), {"scaler": Scaler(), "distributed_type": None})()
    trainer._has_mixed_mesh_grads = lambda model: False  # type: ignore[method-assign]
    overflow = torch.tensor(torch.inf)
    assert trainer._get_grad_norm(torch.nn.Linear(1, 1), overflow) is overflow
    Scaler._scale = torch.tensor(1.0)
    with pytest.raises(NumericalError, match="step 5"):
        trainer._get_grad_norm(torch.nn.Linear(1, 1), overflow)


@pytest.mark.parametrize("label", [2, -1])
def test_labels_out_of_range_are_named(label: int):
    rows = [{**row} for row in text_examples(3, 0).rows]
    rows[1]["labels"] = torch.tensor(label)
    with pytest.raises(ValueError, match=f"label is {label}; labels from 0 to 1 are accepted"):
        WithinRange(lambda rows: pad(rows, 0), 2)(rows)
    rows[1]["labels"] = torch.tensor(-100)
    assert WithinRange(lambda rows: pad(rows, 0), 2)(rows)["labels"][1] == -100


def diverging(job: Job) -> Outcome:
    """Setting 2 of a, and seed 1 of b, never end well."""
    if job.setting["rate"] == 2 or (job.cell.method, job.seed) == ("b", 1):
        raise NumericalError(f"step 3: no number, seed {job.seed}.", step=3, examples=[1])
    return Outcome(0.5, 4, 0.1, {"trained": 1, "total": 2}, score=0.25)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_study_goes_on_and_tells_at_the_end(
    workers: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    def start() -> Study:
        return Study(tmp_path, "toy", "imdb", {})

    cells, ended, failed = [Cell("mr", 10, method) for method in GRIDS], [], []
    with JobRunner(Surviving(diverging), workers) as runner:
        with pytest.raises(UserError, match="2 runs diverged and all others are finished") as told:
            start().run(
                cells,
                GRIDS,
                range(2),
                runner,
                lambda job, outcome: ended.append(job),
                on_diverged=lambda job, outcome: failed.append(job),
            )
    assert "b on mr, size 10, seed 1 (rate 1): step 3: no number, seed 1." in str(told.value)
    assert len(caplog.messages) == 2
    results = read_lines(tmp_path / "results.jsonl")
    assert {(r["method"], r["seed"], r["setting"]["rate"]) for r in results} == {
        *(("a", 0, 1), ("a", 1, 1), ("b", 0, 1))
    }
    lines = read_lines(tmp_path / "failures.jsonl")
    found = {(f["method"], f["setting"]["rate"], f["step"], *f["examples"]) for f in lines}
    assert found == {("a", 2, 3, 1), ("b", 1, 3, 1)}
    assert len(ended) == 4 and len(failed) == 2

    # A run that failed is done again, and its line forgotten; a setting is not tried again.
    with JobRunner(Surviving(lambda job: Outcome(0.5, 4, 0.1, {}, score=0.5)), 1) as runner:
        start().run(cells[:1], GRIDS, range(2), runner, lambda job, outcome: None)
        assert len(read_lines(tmp_path / "failures.jsonl")) == 2
        start().run(cells, GRIDS, range(2), runner, lambda job, outcome: None)
    assert len(read_lines(tmp_path / "results.jsonl")) == 4
    assert [line["method"] for line in read_lines(tmp_path / "failures.jsonl")] == ["a"]
    ((cell, tried),) = start().trials().items()
    assert cell == cells[0]  # with several workers in the order in which they ended
    assert {trial.setting["rate"]: trial.score for trial in tried} == {1: 0.5, 2: 0.0}


@pytest.mark.parametrize("stop", range(1, 8))
def test_a_tuning_in_which_settings_diverge_can_be_interrupted(stop: int, tmp_path: Path):
    """What Optuna proposes depends on all trials before, those that diverged among them."""
    rates = [{"learning_rate": 1e-3}, {"learning_rate": 1e-2}]

    def do(job: Job) -> Outcome:
        rate = job.setting["learning_rate"]
        if rate > 5e-3:
            raise NumericalError("step 3: no number.", step=3)
        return Outcome(rate, 4, 0.0, {}, score=0.25)

    def run(folder: Path, stop: int | None = None) -> list[tuple[int, dict[str, float]]]:
        tuner = OptunaTuner(6, 0, folder / "optuna.db")
        study = Study(folder, "toy", "imdb", {})
        with JobRunner(Surviving(do), 1) as runner, suppress(UserError):
            study.run(
                [Cell("mr", 10, "a")],
                {"a": rates},
                range(1),
                lambda jobs: itertools.islice(runner(jobs), stop),
                lambda job, outcome: None,
                tuner,
            )
        lines = [*read_lines(folder / "tuning.jsonl"), *read_lines(folder / "results.jsonl")]
        return [(line["seed"], line["setting"]) for line in lines]

    whole = run(tmp_path / "whole")
    assert len(whole) == 7
    run(tmp_path / "stopped", stop)
    assert run(tmp_path / "stopped") == whole


def test_other_errors_end_a_study_as_ever(tmp_path: Path):
    def broken(job: Job) -> Outcome:
        raise ZeroDivisionError

    study = Study(tmp_path, "toy", "imdb", {})
    with pytest.raises(ZeroDivisionError), JobRunner(Surviving(broken), 1) as runner:
        study.run([Cell("mr", 10, "b")], GRIDS, range(1), runner, lambda job, outcome: None)


def test_a_setting_that_diverges_is_not_chosen():
    cell = Cell("mr", 10, "a")
    agenda = Agenda([[(cell, 0)]], GRIDS, GridTuner(), {})
    first, second = next(agenda), next(agenda)
    agenda.tell(first, DIVERGED_SCORE)
    agenda.tell(second, 0.1)
    assert next(agenda).setting == second.setting == {"rate": 2}


def test_what_is_known_of_a_failure_comes_through_processes():
    error = NumericalError("step 3.", step=3, examples=[1, 2])
    copy = pickle.loads(pickle.dumps(Diverged(error))).error
    assert (str(copy), json.dumps(copy.details)) == ("step 3.", '{"step": 3, "examples": [1, 2]}')
