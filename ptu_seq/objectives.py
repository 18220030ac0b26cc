"""Losses beside the task's in a training: their sum, and the weights that are theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import TrainerCallback

from ptu_seq.distributed import world_size
from ptu_seq.methods.objective import Objective


class Objectives(TrainerCallback):
    """The losses that a training adds to its model's own.

    As a callback it clips and clears the gradients of weights that are the objectives' own; Trainer
    does so for a model's alone.

    Args:
        objectives: the losses.

    Attributes:
        parameter_groups: the weights that are theirs, for the optimiser.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.objectives = objectives
        self.parameter_groups: list[dict[str, Any]] = [
            group for objective in objectives for group in objective.parameter_groups()
        ]
        self._weights: list[nn.Parameter] = [
            weight for group in self.parameter_groups for weight in group["params"]
        ]
        self._batches = 0  # that they were asked about

    def loss(
        self, inputs: Mapping[str, Tensor], logits: Tensor, state: TrainerState
    ) -> Tensor | int:
        """The sum of all, 0 if there are none.

        Args:
            inputs: the batch that the model has just read.
            logits: what it made of it.
            state: tells how much of the training is over.
        """
        progress = state.global_step / state.max_steps
        self._batches += 1
        return sum(objective(inputs, logits, progress) for objective in self.objectives)

    def state_dict(self) -> dict[str, Any]:
        """Their weights, and how many batches they have seen, for a checkpoint."""
        return {"batches": self._batches, "weights": [w.detach().clone() for w in self._weights]}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint; the weights move to where its tensors are."""
        for weight, value in zip(self._weights, state["weights"], strict=True):
            weight.data = value
        for objective in self.objectives:
            objective.skip(state["batches"] - self._batches)
        self._batches = state["batches"]

    def average_gradients(self) -> None:
        """Averages their own weights' gradients over processes; a model's are by its wrapper."""
        if world_size() == 1:
            return
        for weight in self._weights:
            if weight.grad is not None:
                dist.all_reduce(weight.grad)
                weight.grad /= world_size()

    def close(self) -> None:
        """Leaves the model as it is without them."""
        for objective in self.objectives:
            objective.close()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Clips the gradients."""
        if args.max_grad_norm > 0:
            nn.utils.clip_grad_norm_(self._weights, args.max_grad_norm)

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Clears them."""
        for weight in self._weights:
            weight.grad = None
