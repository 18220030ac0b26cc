"""The options of a translator's training."""

from __future__ import annotations

import pytest

from ptu_seq.errors import UserError
from ptu_seq.translation.training import TranslationTrainingOptions


@pytest.mark.parametrize(
    ("batches", "steps"), [(1, 100), (50, 100), (101, 200), (107, 210), (1000, 400)]
)
def test_the_step_budget_ends_with_an_evaluation(batches, steps):
    options = TranslationTrainingOptions(epochs=2, min_steps=100, max_steps=400, evaluations=10)
    assert options.steps(batches) == steps


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_tokens": 0}, "--batch_tokens is 0; accepted is at least 1"),
        ({"average_checkpoints": 0}, "--average_checkpoints is 0"),
        ({"metric": "blue"}, "--metric is 'blue' .did you mean 'bleu'..; accepted: bleu, chrf"),
        (
            {"schedule": "cosine"},
            "--schedule is 'cosine'.* accepted: linear, inverse_sqrt, plateau",
        ),
        ({"report_to": "tensorbord"}, "--report_to tensorbord: .* tensorboard"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=message):
        TranslationTrainingOptions(**options)
