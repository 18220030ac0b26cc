"""Gradual unfreezing with discriminative rates (Howard & Ruder, ACL 2018: ULMFiT)."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel
from transformers.trainer_callback import TrainerCallback

from ptu_seq.methods.base import Setting
from ptu_seq.methods.gradual_unfreezing import discriminative_rates, gradual_unfreezing
from ptu_seq.methods.translation.fine_tune import FineTune
from ptu_seq.methods.translation.layers import layers


class GradualUnfreezing(FineTune):
    """Fine-tuning from the source's words, a layer more at a time.

    See :mod:`ptu_seq.methods.gradual_unfreezing`. The paper begins with the layer of least general
    knowledge, which is the one at the child's new language: the source's token vectors learn from
    the first step, at the highest rate, then the encoder's layers wake from the bottom, the
    decoder's, and attention. The target's words learn from the first step too, at the lowest rate:
    some may be new.
    """

    name = "gradual_unfreezing"
    #: The source's vectors at their rate in fine-tuning; the first with the paper's decay, the
    #: second with the one that brings the target's words to about fine-tuning's rate for them.
    grid = (
        {
            "learning_rate": 1.6e-2,
            "rate_decay": 2.6,
            "unfreeze_share": 0.2,
            "embedding_dropout": 0.3,
            "hidden_dropout": 0.5,
            "word_dropout": 0.1,
        },
        {
            "learning_rate": 1.6e-2,
            "rate_decay": 1.6,
            "unfreeze_share": 0.2,
            "embedding_dropout": 0.3,
            "hidden_dropout": 0.3,
        },
        {
            "learning_rate": 8e-3,
            "rate_decay": 1.3,
            "unfreeze_share": 0.2,
            "embedding_dropout": 0.3,
            "hidden_dropout": 0.3,
        },
        {
            "learning_rate": 4e-3,
            "rate_decay": 1.3,
            "unfreeze_share": 0.2,
            "embedding_dropout": 0.3,
            "hidden_dropout": 0.3,
        },
    )

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """A group a layer, each with its rate."""
        return discriminative_rates(layers(model), setting)

    def callbacks(self, model: PreTrainedModel, setting: Setting) -> list[TrainerCallback]:
        """A stage a layer between the words."""
        return gradual_unfreezing(layers(model)[1:-1], setting)
