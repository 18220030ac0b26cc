"""Linear probe (Alain & Bengio, 2017): a new linear classifier on the frozen source's features."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, Task
from ptu_seq.methods.linear_probe import probe_groups, start_probe
from ptu_seq.methods.vision.frozen import Frozen


class LinearProbe(Frozen):
    """Logistic regression on the source's features: :mod:`ptu_seq.methods.linear_probe`."""

    name = "linear_probe"
    grid = (
        {"learning_rate": 1e-2, "weight_decay": 0.01},
        {"learning_rate": 1e-2, "weight_decay": 0.3},
        {"learning_rate": 3e-2, "weight_decay": 0.01},
        {"learning_rate": 3e-2, "weight_decay": 0.3},
    )

    def build(self, source: PreTrainedModel, task: Task, setting: Setting) -> PreTrainedModel:
        """The frozen source under a classifier of zeros."""
        network = super().build(source, task, setting)
        start_probe(network)
        return network

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """The classifier, with its weight decay."""
        return probe_groups(model, setting)
