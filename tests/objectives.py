"""A loss beside the task's, for tests of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ptu_seq.methods.objective import Objective


class Shrink(Objective):
    """The sum of a model's squared weights, scaled by a weight of its own."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.progress: list[float] = []
        self.gradients: list[float] = []
        self.is_closed = False

    def __call__(self, inputs: Mapping[str, Tensor], logits: Tensor, progress: float) -> Tensor:
        assert self.model.training and len(inputs["labels"]) == len(logits)
        self.progress.append(progress)
        self.gradients.append(0.0 if self.scale.grad is None else float(self.scale.grad))
        return self.scale * torch.stack([p.square().sum() for p in self.model.parameters()]).sum()

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": [self.scale], "lr": 0.02}]

    def close(self) -> None:
        self.is_closed = True
