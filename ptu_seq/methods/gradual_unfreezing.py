"""Gradual unfreezing with discriminative rates (Howard & Ruder, ACL 2018: ULMFiT)."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel
from transformers.trainer_callback import TrainerCallback

from ptu_seq.methods.base import Setting, split_by_rate
from ptu_seq.methods.fine_tune import FineTune
from ptu_seq.methods.layers import layers
from ptu_seq.methods.unfreezing import Stage, StagedUnfreezing


class GradualUnfreezing(FineTune):
    r"""Fine-tuning from the top: the classifier first, then a layer more at a time.

    A layer learns at a smaller rate than the one above it, by the paper's factor of 2.6
    ("rate_decay"):

    .. math::
        \eta^{l-1} = \eta^l / 2.6

    The paper wakes a layer an epoch; here the last one wakes after a share of the steps
    ("unfreeze_share") and the others at even distances before it. Its third part, slanted
    triangular rates, is the schedule that all methods have: a short rise, then a linear fall.
    """

    name = "gradual_unfreezing"
    grid = (
        {"learning_rate": 1e-2, "rate_decay": 2.6, "unfreeze_share": 0.3},
        {"learning_rate": 3e-2, "rate_decay": 2.6, "unfreeze_share": 0.3},
        {"learning_rate": 3e-3, "rate_decay": 2.6, "unfreeze_share": 0.3},
        {"learning_rate": 1e-2, "rate_decay": 1.3, "unfreeze_share": 0.2},
    )

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """A group a layer, each with its rate."""
        return discriminative_rates(model, setting)

    def callbacks(self, model: PreTrainedModel, setting: Setting) -> list[TrainerCallback]:
        """A stage a layer."""
        return gradual_unfreezing(model, setting)


def discriminative_rates(model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
    """A parameter group for each layer.

    Args:
        model: a plain classifier.
        setting: "learning_rate" is the classifier's; a layer further down has the rate of the one
            above it divided by "rate_decay".
    """
    downwards = list(reversed(layers(model)))
    parts = [
        (layer.parameters, setting["learning_rate"] / setting["rate_decay"] ** depth)
        for depth, layer in enumerate(downwards)
    ]
    return split_by_rate(model, parts, setting["learning_rate"])


def gradual_unfreezing(model: PreTrainedModel, setting: Setting) -> list[TrainerCallback]:
    """All layers but the classifier asleep, the upper ones more shortly.

    Args:
        model: a plain classifier.
        setting: after "unfreeze_share" of the steps the lowest layer is awake.
    """
    downwards = list(reversed(layers(model)))[1:]
    every = setting["unfreeze_share"] / len(downwards)
    stages = [Stage(every * (i + 1), [layer]) for i, layer in enumerate(downwards)]
    return [StagedUnfreezing(stages)]
