"""Gradual unfreezing with discriminative rates (Howard & Ruder, ACL 2018: ULMFiT)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedModel
from transformers.trainer_callback import TrainerCallback

from ptu_seq.methods.base import Setting
from ptu_seq.methods.fine_tune import FineTune
from ptu_seq.methods.layers import Layer, layers
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
        return discriminative_rates(layers(model)[::-1], setting)

    def callbacks(self, model: PreTrainedModel, setting: Setting) -> list[TrainerCallback]:
        """A stage a layer."""
        return gradual_unfreezing(layers(model)[-2::-1], setting)


def discriminative_rates(ordered: Sequence[Layer], setting: Setting) -> list[dict[str, Any]]:
    """A parameter group for each layer.

    Args:
        ordered: all layers of a network, the one that learns fastest first: a classifier's
            last one, a translator's first.
        setting: "learning_rate" is the first layer's; each other has the rate of the one before it
            divided by "rate_decay".
    """
    return [
        {
            "params": layer.parameters,
            "lr": setting["learning_rate"] / setting["rate_decay"] ** depth,
        }
        for depth, layer in enumerate(ordered)
        if layer.parameters
    ]


def gradual_unfreezing(ordered: Sequence[Layer], setting: Setting) -> list[TrainerCallback]:
    """Layers that sleep at first and wake one after another.

    Args:
        ordered: the layers, the one that wakes first before the others.
        setting: after "unfreeze_share" of the steps the last one is awake.
    """
    every = setting["unfreeze_share"] / len(ordered)
    stages = [Stage(every * (i + 1), [layer]) for i, layer in enumerate(ordered)]
    return [StagedUnfreezing(stages)]
