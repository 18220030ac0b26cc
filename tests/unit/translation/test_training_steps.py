"""The steps of a translator's training: rates, gradients, losses beside the task's."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from ptu_seq.methods.translation import TranslationTask
from ptu_seq.methods.translation.distillation import ParentWords
from ptu_seq.translation.batches import collate
from tests.host_reads import HostReads
from tests.objectives import Shrink
from tests.unit.translation.copying import (
    ROUNDING,
    examples,
    new_model,
    scripted,
    weights,
)


@pytest.mark.parametrize("schedule", ["linear", "inverse_sqrt"])
def test_the_learning_rate_rises_then_falls(fit, steps, schedule):
    fit(schedule=schedule, warmup_ratio=1 / 3)
    rising = [i / 4 for i in range(4)]
    falling = {
        "linear": [(12 - i) / 8 for i in range(4, 12)],
        "inverse_sqrt": [(4 / i) ** 0.5 for i in range(4, 12)],
    }[schedule]
    assert steps.rates == pytest.approx([0.01 * share for share in rising + falling])


def test_a_plateau_halves_the_learning_rate_after_its_warm_up(fit, steps, monkeypatch):
    scripted(monkeypatch, [10, 20, 20, 20, 20, 30, 30])
    fit(schedule="plateau", warmup_ratio=1 / 6, evaluations=6, average_checkpoints=1)
    # Two evaluations without a rise, those after steps 6 and 8, halve what follows.
    assert steps.rates == pytest.approx([0.0, 0.005, *[0.01] * 6, *[0.005] * 4])


def test_a_batch_in_parts_gives_the_mean_over_all_its_tokens(fit, steps, tokenizers):
    # One long and three short sentences: the parts hold unequal numbers of tokens.
    training = examples(tokenizers, ["a b c d e f g h a b c", "d", "e f", "g h a"])
    options = {"min_steps": 1, "max_steps": 1, "evaluations": 1, "warmup_ratio": 0.0}
    model = new_model(tokenizers)
    model.train()
    model(**collate(training, pad_token_id=0)).loss.backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    fit(training, batch_tokens=24, gradient_accumulation_steps=2, max_grad_norm=0.0, **options)
    torch.testing.assert_close(steps.gradients[0], expected, **ROUNDING)


def test_an_objective_adds_to_the_loss_of_training(fit, scores):
    kept: list[Shrink] = []

    def shrink(model: PreTrainedModel) -> Shrink:
        kept.append(Shrink(model))
        return kept[0]

    (_, plain), (_, model) = fit(rate=0.03), fit(rate=0.03, objective=shrink)
    assert weights(model).norm() < 0.9 * weights(plain).norm()
    assert kept[0].progress == [step / 12 for step in range(12)]
    assert kept[0].is_closed and kept[0].scale < 0.95
    assert kept[0].gradients == [0.0] * 12  # of the steps before, nothing is left


def test_an_objectives_weights_are_clipped_by_themselves(fit, steps):
    fit(objective=Shrink, max_grad_norm=0.5)  # that of the weight is over 40 by itself
    for noted in (steps.gradients, steps.last):
        assert [float(g.norm()) for g in noted] == pytest.approx([0.5] * 12, rel=1e-4)


ONE_STEP = {"min_steps": 1, "max_steps": 1, "evaluations": 1, "warmup_ratio": 0.0}


def test_an_objective_counts_once_however_many_parts_a_batch_has(fit, steps):
    for parts in (1, 2, 4):
        options = {"gradient_accumulation_steps": parts, "max_grad_norm": 0.0, **ONE_STEP}
        _, model = fit(objective=Shrink, rate=0.0, **options)
    assert [float(g) for g in steps.last] == pytest.approx(
        [float(weights(model).square().sum())] * 3
    )


def test_distillation_in_parts_is_the_mean_over_all_tokens(fit, steps, tokenizers):
    training = examples(tokenizers, ["a b c d e f g h a b c", "d", "e f", "g h a"])
    parent, model = new_model(tokenizers), new_model(tokenizers)
    with torch.no_grad():
        for weight in parent.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    size = len(tokenizers.source)
    words = ParentWords(parent, TranslationTask(size, size), weight=2.0)
    batch = collate(training, pad_token_id=0)
    model.train()
    outputs = model(**batch)
    (outputs.loss + words(batch, outputs.logits, 0.0)).backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    options = {"batch_tokens": 24, "gradient_accumulation_steps": 2, "max_grad_norm": 0.0}
    fit(training, objective=lambda model: words, **options, **ONE_STEP)
    torch.testing.assert_close(steps.gradients[0], expected, **ROUNDING)


def test_no_step_waits_for_a_number(fit):
    """But for the sentences of each packed part of a batch: packed sequences count them there."""
    reads = HostReads()
    fit(callbacks=[reads], dropout=0.3, gradient_accumulation_steps=2)
    assert reads.of_steps == [2] * 12
