"""Training: the weights that are kept, the rates and batches that led there."""

from __future__ import annotations

import functools
import platform
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Trainer
from transformers.trainer_callback import TrainerCallback

from ptu_seq import trainer_setup
from ptu_seq.batches import Examples, pad
from ptu_seq.data import train_tokenizer
from ptu_seq.errors import UserError
from ptu_seq.evaluation import accuracy
from ptu_seq.methods.objective import Objective
from ptu_seq.models import RNNConfig, RNNForSequenceClassification
from ptu_seq.training import Trained, TrainingOptions, predict, train
from tests.host_reads import HostReads
from tests.objectives import Shrink

Fit = Callable[..., tuple[Trained, RNNForSequenceClassification]]

#: Of weights after some steps; on a GPU training is in bfloat16.
ROUNDING = 1e-3 if torch.cuda.is_available() else 1e-5


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(["a b c d"], 20)


def examples(count: int, seed: int, *, noise: float = 0.0, longest: int = 12) -> Examples:
    """Random tokens; the label says which of two tokens is among them, unless noise changes it."""
    draw = random.Random(seed)
    rows: dict[str, list[Any]] = {"input_ids": [], "attention_mask": [], "labels": []}
    for _ in range(count):
        label = draw.randrange(2)
        ids = [draw.randrange(6, 20) for _ in range(draw.randint(1, longest))]
        ids[draw.randrange(len(ids))] = 4 + label
        rows["input_ids"].append(ids)
        rows["attention_mask"].append([1] * len(ids))
        rows["labels"].append(1 - label if draw.random() < noise else label)
    return Examples(Dataset.from_dict(rows))


@pytest.fixture
def fit(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Fit:
    """Trains a small network; arguments that are not options are those of `train`."""

    def fit(
        data: Examples | None = None,
        validation: Examples | None = None,
        *,
        rates: tuple[float, ...] = (0.01,),
        dropout: float = 0.0,
        seed: int = 0,
        progress: bool = False,
        objective: Callable[[RNNForSequenceClassification], Objective] | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        **options: Any,
    ) -> tuple[Trained, RNNForSequenceClassification]:
        torch.manual_seed(0)
        model = RNNForSequenceClassification(
            RNNConfig(
                vocab_size=20,
                embedding_size=8,
                hidden_size=8,
                embedding_dropout=dropout,
                hidden_dropout=dropout,
            )
        )
        parts = [list(model.embedding.parameters())]
        parts.append([p for name, p in model.named_parameters() if "embedding" not in name])
        groups = [
            {"params": part, "lr": rate} for part, rate in zip(parts, rates * 2, strict=False)
        ]
        settings = {"batch_size": 8, "min_steps": 20, "max_steps": 20, "patience": 99, **options}
        trained = train(
            model,
            groups,
            tokenizer,
            data or examples(40, 1),
            validation or examples(40, 2),
            TrainingOptions(**settings),
            folder=tmp_path / "run",
            seed=seed,
            progress=progress,
            callbacks=callbacks,
            objectives=[objective(model)] if objective else [],
        )
        return trained, model.cpu()  # from the GPU, where there is one

    return fit


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The validation scores as they are taken."""
    taken: list[float] = []
    evaluate = Trainer.evaluate

    def spy(self: Trainer, *args: Any, **kwargs: Any) -> dict[str, float]:
        metrics = evaluate(self, *args, **kwargs)
        taken.append(metrics["eval_score"])
        return metrics

    monkeypatch.setattr(Trainer, "evaluate", spy)
    return taken


class Steps(torch.optim.AdamW):
    """AdamW that notes each step's learning rates and the norm of its gradients."""

    rates: list[list[float]]
    norms: list[float]

    def step(self, closure: Any = None) -> Any:
        self.rates.append([group["lr"] for group in self.param_groups])
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        self.norms.append(
            float(torch.cat([g.flatten().cpu() for g in gradients if g is not None]).norm())
        )
        return super().step(closure)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> type[Steps]:
    class Noted(Steps):
        rates, norms = [], []

    monkeypatch.setattr(torch.optim, "AdamW", Noted)
    return Noted


def test_learns(fit, scores, tokenizer, tmp_path):
    validation = examples(60, 2)
    trained, model = fit(
        examples(200, 1), validation, rates=(0.05,), max_steps=80, min_steps=80, evaluations=4
    )
    assert trained.steps == 80
    assert len(scores) == 4
    assert trained.validation_score == max(scores) > 0.8
    labels = [int(row["labels"]) for row in validation.rows]
    assert accuracy(labels, predict(model, tokenizer, validation)) == trained.validation_score
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())


def test_keeps_the_weights_of_the_first_best_score(fit, monkeypatch):
    scripted = iter([0.2, 0.9, 0.3, 0.9, 0.1])
    weights = []
    evaluate = Trainer.evaluation_loop

    def spy(self: Trainer, *args: Any, **kwargs: Any) -> Any:
        assert self.model is not None
        weights.append({k: v.cpu().clone() for k, v in self.model.state_dict().items()})
        output = evaluate(self, *args, **kwargs)
        return output._replace(metrics={**(output.metrics or {}), "eval_score": next(scripted)})

    monkeypatch.setattr(Trainer, "evaluation_loop", spy)
    trained, model = fit(evaluations=5)
    assert trained.validation_score == 0.9
    same = [
        all(torch.equal(value, model.state_dict()[name]) for name, value in snapshot.items())
        for snapshot in weights
    ]
    assert same == [False, True, False, False, False]


def test_stops_when_the_score_no_longer_rises(fit, scores):
    trained, _ = fit(rates=(0.0,), patience=3, evaluations=10)
    assert len(set(scores)) == 1
    assert trained.steps == 2 * (1 + 3)


def test_rates_rise_then_fall_in_proportion(fit, steps):
    fit(rates=(0.02, 0.005), warmup_ratio=0.2)
    embedding, others = zip(*steps.rates, strict=True)
    rising = [i / 4 for i in range(4)]
    falling = [(20 - i) / 16 for i in range(4, 20)]
    assert embedding == pytest.approx([0.02 * share for share in rising + falling])
    assert others == pytest.approx([0.005 * share for share in rising + falling])


@pytest.mark.parametrize(("limit", "clipped"), [(1e-3, True), (0.0, False)])
def test_gradients_are_clipped(fit, steps, limit, clipped):
    fit(max_grad_norm=limit)
    assert len(steps.norms) == 20
    assert all((norm < 1.001e-3) == clipped for norm in steps.norms)


def batches(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, *, training: bool = True, **arguments: Any
) -> list[Tensor]:
    """The inputs of every training step, or of every evaluation's."""
    seen = []
    forward = RNNForSequenceClassification.forward

    @functools.wraps(forward)
    def spy(self: RNNForSequenceClassification, input_ids: Tensor, **kwargs: Any) -> Any:
        if self.training is training:
            seen.append(input_ids)
        return forward(self, input_ids, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(RNNForSequenceClassification, "forward", spy)
        fit(**arguments)
    return seen


def test_the_seed_decides_the_batches(fit, monkeypatch):
    first, again, other = (batches(fit, monkeypatch, seed=seed) for seed in (3, 3, 4))
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))


def test_the_seed_decides_the_weights(fit):
    first, again, other = (
        torch.cat([p.flatten() for p in fit(dropout=0.3, seed=seed)[1].parameters()])
        for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_every_example_is_seen_once_an_epoch_in_batches_of_like_length(fit, monkeypatch):
    data = examples(256, 5, longest=40)
    seen = batches(fit, monkeypatch, data=data, min_steps=32, max_steps=32, evaluations=1)
    rows = [row[row != 0].tolist() for batch in seen for row in batch]
    assert sorted(rows) == sorted(row["input_ids"].tolist() for row in data.rows)
    padding = sum(int((batch == 0).sum()) for batch in seen) / sum(batch.numel() for batch in seen)
    at_random = [max(len(data[i]["input_ids"]) for i in range(j, j + 8)) for j in range(0, 256, 8)]
    assert padding < 0.5 * (1 - sum(map(len, rows)) / (8 * sum(at_random)))


def test_evaluation_reads_every_example_once_in_order_of_length(fit, monkeypatch):
    data = examples(300, 5, longest=40)
    seen = batches(fit, monkeypatch, training=False, validation=data, evaluations=1)
    rows = [row[row != 0].tolist() for batch in seen for row in batch]
    assert sorted(rows) == sorted(row["input_ids"].tolist() for row in data.rows)
    lengths = list(map(len, rows))
    assert lengths == sorted(lengths)


def test_a_batch_in_parts_gives_the_same_step(fit):
    # 36 examples: the last batch of each epoch is smaller, and so is its last part.
    data = examples(36, 1)
    whole = fit(data)[1].state_dict()
    parts = fit(data, gradient_accumulation_steps=4)[1].state_dict()
    for name, weight in whole.items():
        torch.testing.assert_close(parts[name], weight, rtol=1e-3, atol=ROUNDING)


def test_an_objective_adds_to_the_loss_of_training(fit, scores):
    kept: list[Shrink] = []

    def shrink(model: RNNForSequenceClassification) -> Shrink:
        kept.append(Shrink(model))
        return kept[0]

    _, plain = fit(rates=(0.03,))
    _, model = fit(rates=(0.03,), objective=shrink)
    norms = [sum(float(p.detach().square().sum()) for p in m.parameters()) for m in (model, plain)]
    assert norms[0] < 0.8 * norms[1]
    assert kept[0].progress == [step / 20 for step in range(20)]
    assert kept[0].is_closed and kept[0].scale < 0.9
    assert kept[0].gradients == [0.0] * 20  # of the steps before, nothing is left


def test_the_gradients_of_an_objectives_weights_are_clipped(fit, steps):
    fit(objective=Shrink, max_grad_norm=0.5)  # that of the weight is some 40 by itself
    assert max(steps.norms) < (0.5**2 + 0.5**2) ** 0.5 + 1e-5


def test_an_objective_counts_once_however_many_parts_a_batch_has(fit):
    data = examples(36, 1)
    whole = fit(data, objective=Shrink)[1].state_dict()
    parts = fit(data, objective=Shrink, gradient_accumulation_steps=4)[1].state_dict()
    for name, weight in whole.items():
        torch.testing.assert_close(parts[name], weight, rtol=1e-3, atol=ROUNDING)


def test_predictions_do_not_depend_on_the_batch(fit, tokenizer):
    _, model = fit(rates=(0.05,))
    data = examples(50, 9)
    alone = [
        int(model(row["input_ids"][None], row["attention_mask"][None]).logits.argmax())
        for row in data.rows
    ]
    assert predict(model, tokenizer, data) == alone
    assert set(alone) == {0, 1}


def test_pad_fills_up_with_the_padding_token_and_zeros():
    rows = [
        {
            "input_ids": torch.tensor([5]),
            "token_type_ids": torch.tensor([1]),
            "labels": torch.tensor(1),
        },
        {
            "input_ids": torch.tensor([6, 7]),
            "token_type_ids": torch.tensor([0, 1]),
            "labels": torch.tensor(0),
        },
    ]
    batch = pad(rows, pad_token_id=9)
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[5, 9], [6, 7]],
        "token_type_ids": [[1, 0], [0, 1]],
        "labels": [1, 0],
    }


def test_a_bar_shows_progress_if_wanted(fit, capsys):
    fit(evaluations=2)
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
    trained, _ = fit(evaluations=2, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "20/20" in captured.err
    assert f"validation {100 * trained.validation_score:.1f}" in captured.err


@pytest.mark.parametrize(
    ("examples", "steps"), [(1, 100), (1600, 100), (3200, 200), (3201, 201), (16000, 400)]
)
def test_the_step_budget(examples, steps):
    options = TrainingOptions(batch_size=16, epochs=1.0, min_steps=100, max_steps=400)
    assert options.steps(examples) == steps


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "--batch_size is 0; accepted is at least 1"),
        ({"epochs": float("nan")}, "--epochs is nan"),
        ({"max_steps": -1}, "--max_steps is -1"),
        ({"warmup_ratio": 1.5}, "--warmup_ratio is 1.5; accepted is from 0 to 1"),
        ({"evaluations": 0}, "--evaluations is 0"),
        ({"patience": 0}, "--patience is 0"),
        ({"weight_decay": -0.1}, "--weight_decay is -0.1"),
        (
            {"batch_size": 10, "gradient_accumulation_steps": 4},
            "--gradient_accumulation_steps is 4, which does not divide --batch_size 10",
        ),
        ({"report_to": "tensorbord"}, "--report_to tensorbord: .* tensorboard"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=message):
        TrainingOptions(**options)


def test_a_tracker_must_be_installed(monkeypatch):
    monkeypatch.setattr(trainer_setup, "get_available_reporting_integrations", lambda: ["wandb"])
    assert TrainingOptions(report_to="wandb").report_to == "wandb"
    with pytest.raises(UserError, match="--report_to tensorboard: it is not installed"):
        TrainingOptions(report_to="tensorboard")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_training_keeps_the_memory_of_freed_tensors():
    """In a process of its own: pages of large blocks are asked for once, not each time."""
    code = """
import resource, torch
from ptu_seq.memory import keep_freed_memory
def ask():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(2**22)  # 16 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
torch.set_num_threads(1)
first = ask()
keep_freed_memory()
ask()
print(first, ask())
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    before, after = map(int, done.stdout.split())
    assert after < before / 10


def test_no_step_waits_for_a_number(fit):
    """On a GPU that would keep the host from giving it the next operations in time."""
    reads = HostReads()
    fit(callbacks=[reads], dropout=0.3, gradient_accumulation_steps=2)
    assert reads.of_steps == [0] * 20
