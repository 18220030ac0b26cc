"""Linear probe (Alain & Bengio, 2017): a new linear classifier on the frozen source's features."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, Task
from ptu_seq.methods.frozen import Frozen
from ptu_seq.models import RNNForSequenceClassification
from ptu_seq.models.labels import linear_head


class LinearProbe(Frozen):
    """Logistic regression on what the source's last layer says of a text.

    Unlike `frozen`, which starts from the source's classifier where the labels agree and drops
    features out before it, the probe starts at 0, reads features as they are, and is held small by
    weight decay: a convex problem, with one solution.
    """

    name = "linear_probe"
    grid = (
        {"learning_rate": 3e-2, "weight_decay": 0.01},
        {"learning_rate": 3e-2, "weight_decay": 0.3},
        {"learning_rate": 1e-1, "weight_decay": 0.01},
        {"learning_rate": 1e-1, "weight_decay": 0.3},
    )

    def build(
        self, source: RNNForSequenceClassification, task: Task, setting: Setting
    ) -> RNNForSequenceClassification:
        """The frozen source under a classifier of zeros."""
        network = super().build(source, task, setting)
        start_probe(network)
        return network

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """The classifier, with its weight decay."""
        return probe_groups(model, setting)


def start_probe(network: PreTrainedModel) -> None:
    """Zeroes a classifier, and has it read features as they are; in place."""
    head = linear_head(network)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def probe_groups(model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
    """The classifier's weights under weight decay, and its bias without."""
    head = linear_head(model)
    rate = setting["learning_rate"]
    return [
        {"params": [head.weight], "lr": rate, "weight_decay": setting["weight_decay"]},
        {"params": [head.bias], "lr": rate, "weight_decay": 0.0},
    ]
