"""The weights of the best evaluations of a training, and their average."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import TrainerCallback

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Snapshot:
    """What a model had learned at one evaluation.

    Args:
        score: the validation score.
        step: optimisation steps before it.
        weights: whatever training may change, by name in the model's state dict.
    """

    score: float
    step: int
    weights: Weights


class BestWeights(TrainerCallback):
    """Keeps the weights of the best evaluations, in memory.

    Frozen parameters are left out: a model with a frozen source costs no more than its target.
    Those of a layer that only sleeps are not (:mod:`ptu_seq.methods.unfreezing`).

    Args:
        count: of how many evaluations; of equal scores the earlier counts as the better.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.snapshots: list[Snapshot] = []

    @property
    def best(self) -> Snapshot:
        """The best evaluation's."""
        return self.snapshots[0]

    def average(self) -> Weights:
        r"""The mean of the kept evaluations' weights, :math:`\bar\theta = \frac1k \sum \theta_i`.

        Numbers that are no floats are those of the best evaluation.
        """
        return {
            name: torch.stack([s.weights[name] for s in self.snapshots]).mean(0)
            if value.is_floating_point()
            else value
            for name, value in self.best.weights.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """The snapshots, for a checkpoint."""
        return {"snapshots": [vars(snapshot) for snapshot in self.snapshots]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up those of a checkpoint."""
        self.snapshots = [Snapshot(**snapshot) for snapshot in state["snapshots"]]

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        metrics: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Keeps the weights if their score is among the best."""
        assert model is not None and optimizer is not None and metrics is not None
        score = metrics["eval_score"]
        if len(self.snapshots) == self.count and score <= self.snapshots[-1].score:
            return
        weights = read_weights(model, optimizer)
        self.snapshots.append(Snapshot(score, state.global_step, weights))
        self.snapshots.sort(key=lambda snapshot: (-snapshot.score, snapshot.step))
        del self.snapshots[self.count :]


def read_weights(model: nn.Module, optimizer: torch.optim.Optimizer) -> Weights:
    """A copy of what training may change: all of the state dict but frozen parameters.

    Args:
        model: the model that is trained.
        optimizer: has every parameter that learns at some step, whether or not it does now.
    """
    trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    frozen = {
        name
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if id(parameter) not in trained
    }
    return {
        name: value.detach().clone()
        for name, value in model.state_dict().items()
        if name not in frozen
    }


@torch.no_grad()
def write_weights(model: nn.Module, weights: Weights) -> None:
    """Puts back what :func:`read_weights` gave, or an average of such."""
    own = model.state_dict()
    for name, value in weights.items():
        own[name].copy_(value)
