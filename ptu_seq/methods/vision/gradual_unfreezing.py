"""Gradual unfreezing with discriminative rates (Howard & Ruder, ACL 2018: ULMFiT)."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel
from transformers.trainer_callback import TrainerCallback

from ptu_seq.methods.base import Setting
from ptu_seq.methods.gradual_unfreezing import discriminative_rates, gradual_unfreezing
from ptu_seq.methods.layers import layers
from ptu_seq.methods.vision.fine_tune import FineTune


class GradualUnfreezing(FineTune):
    """Fine-tuning from the top, a layer more at a time.

    See :mod:`ptu_seq.methods.gradual_unfreezing`.
    """

    name = "gradual_unfreezing"
    grid = (
        {"learning_rate": 3e-3, "rate_decay": 2.6, "unfreeze_share": 0.3},
        {"learning_rate": 1e-2, "rate_decay": 2.6, "unfreeze_share": 0.3},
        {"learning_rate": 3e-3, "rate_decay": 1.3, "unfreeze_share": 0.2},
        {"learning_rate": 1e-3, "rate_decay": 1.3, "unfreeze_share": 0.2},
    )

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """A group a layer, each with its rate."""
        return discriminative_rates(layers(model)[::-1], setting)

    def callbacks(self, model: PreTrainedModel, setting: Setting) -> list[TrainerCallback]:
        """A stage a layer."""
        return gradual_unfreezing(layers(model)[-2::-1], setting)
