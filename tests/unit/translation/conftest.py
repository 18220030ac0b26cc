"""A small training, and what it lets be seen of its steps and evaluations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, Seq2SeqTrainer
from transformers.trainer_callback import TrainerCallback

from ptu_seq.data import TokenizerPair, train_vocabulary
from ptu_seq.methods.objective import Objective
from ptu_seq.trainer_setup import Trained
from ptu_seq.translation.batches import Example
from ptu_seq.translation.training import TranslationTrainingOptions, train_translator
from tests.unit.translation.copying import (
    examples,
    new_model,
    sentences,
)

Fit = Callable[..., tuple[Trained, PreTrainedModel]]


@pytest.fixture(scope="module")
def tokenizers() -> TokenizerPair:
    """One letter a token."""
    tokenizer = train_vocabulary(
        sentences(200, 0), 21, model_type="bpe", byte_fallback=False, max_length=32
    )
    assert len(tokenizer("a b c").input_ids) == 4
    return TokenizerPair(tokenizer, tokenizer)


@pytest.fixture
def fit(tmp_path: Path, tokenizers: TokenizerPair) -> Fit:
    """Trains a small network; arguments that are not options are those of `train_translator`."""

    def fit(
        training: list[Example] | None = None,
        validation: list[Example] | None = None,
        *,
        model: PreTrainedModel | None = None,
        rate: float = 0.01,
        dropout: float = 0.0,
        seed: int = 0,
        progress: bool = False,
        references: list[str] | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        objective: Callable[[PreTrainedModel], Objective] | None = None,
        **options: Any,
    ) -> tuple[Trained, PreTrainedModel]:
        model = model or new_model(tokenizers, dropout)
        settings = {
            "batch_tokens": 64,
            "min_steps": 12,
            "max_steps": 12,
            "evaluations": 3,
            "patience": 99,
            "metric": "chrf",
            **options,
        }
        trained = train_translator(
            model,
            [{"params": [p for p in model.parameters() if p.requires_grad], "lr": rate}],
            tokenizers,
            training or examples(tokenizers, sentences(60, 1)),
            validation or examples(tokenizers, sentences(20, 2)),
            TranslationTrainingOptions(**settings),
            folder=tmp_path / "run",
            seed=seed,
            progress=progress,
            references=references,
            callbacks=callbacks,
            objectives=[objective(model)] if objective else [],
        )
        return trained, model.cpu()  # from the GPU, where there is one

    return fit


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The validation scores as they are taken in training."""
    taken: list[float] = []
    evaluate = Seq2SeqTrainer.evaluate

    def spy(self: Seq2SeqTrainer, *args: Any, **kwargs: Any) -> dict[str, float]:
        metrics = evaluate(self, *args, **kwargs)
        taken.append(metrics["eval_score"])
        return metrics

    monkeypatch.setattr(Seq2SeqTrainer, "evaluate", spy)
    return taken


class Noted(torch.optim.AdamW):
    """AdamW that notes each step's learning rate and the gradients of its first and last group."""

    rates: list[float]
    gradients: list[Tensor]
    last: list[Tensor]

    def step(self, closure: Any = None) -> Any:
        self.rates.append(self.param_groups[0]["lr"])
        for noted, group in ((self.gradients, 0), (self.last, -1)):
            given = [p.grad for p in self.param_groups[group]["params"] if p.grad is not None]
            noted.append(torch.cat([g.flatten().cpu() for g in given]))
        return super().step(closure)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> type[Noted]:
    class Steps(Noted):
        rates, gradients, last = [], [], []

    monkeypatch.setattr(torch.optim, "AdamW", Steps)
    return Steps
