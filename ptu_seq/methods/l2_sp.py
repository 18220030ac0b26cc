"""L2-SP (Li, Grandvalet & Davoine, ICML 2018): fine-tuning, held near the source's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import TrainerCallback

from ptu_seq.methods.base import Setting
from ptu_seq.methods.fine_tune import FineTune
from ptu_seq.methods.layers import body_parameters, head_parameters


class L2SP(FineTune):
    r"""Fine-tuning under a penalty on the distance from the source's weights.

    With the weights `w` of the transferred layers, their start `w0` and the classifier's `v` the
    paper minimises

    .. math::
        L(w, v) + \tfrac{\alpha}{2} \lVert w - w^0 \rVert^2 + \tfrac{\beta}{2} \lVert v \rVert^2

    The penalty's gradient is taken apart from Adam, which would scale it away: a step of learning
    rate `lr` moves `w` by `lr * alpha` of the way back to its start, as AdamW does with 0.
    """

    name = "l2_sp"
    grid = (
        {"learning_rate": 1e-3, "classifier_learning_rate": 3e-2, "pull": 1.0},
        {"learning_rate": 3e-3, "classifier_learning_rate": 3e-2, "pull": 1.0},
        {"learning_rate": 3e-3, "classifier_learning_rate": 3e-2, "pull": 10.0},
        {"learning_rate": 1e-2, "classifier_learning_rate": 1e-2, "pull": 3.0},
    )

    def callbacks(self, model: PreTrainedModel, setting: Setting) -> list[TrainerCallback]:
        """The pull back to the start."""
        return l2_sp(model, setting)


#: beta: how strongly the classifier is pulled to 0 (0.01 in the paper).
HEAD_DECAY = 0.01


def l2_sp(model: PreTrainedModel, setting: Setting) -> list[TrainerCallback]:
    """The two penalties of a network that is still at its start.

    Args:
        model: a plain classifier.
        setting: "pull" is alpha.
    """
    body, head = body_parameters(model), head_parameters(model)
    return [
        Pull(body, [weight.detach().clone() for weight in body], setting["pull"]),
        Pull(head, [torch.zeros_like(weight) for weight in head], HEAD_DECAY),
    ]


class Pull(TrainerCallback):
    """Moves weights toward a goal after each of the optimiser's steps.

    Args:
        weights: what is moved; a weight that the optimiser does not hold stays where it is.
        goals: one for each, of its shape.
        strength: alpha; a step of learning rate `lr` goes `lr * alpha` of the way.

    Raises:
        ValueError: if the strength is negative.
    """

    def __init__(
        self, weights: Sequence[nn.Parameter], goals: Sequence[torch.Tensor], strength: float
    ) -> None:
        if strength < 0:
            raise ValueError(f"Pull: strength is {strength}; 0 and more are accepted.")
        self.strength = strength
        self._goals = {id(weight): goal for weight, goal in zip(weights, goals, strict=True)}

    @torch.no_grad()
    def on_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: torch.optim.Optimizer | None = None,
        **kwargs: Any,
    ) -> None:
        """Goes a part of the way."""
        assert optimizer is not None
        for group in optimizer.param_groups:
            share = min(1.0, group["lr"] * self.strength)
            for weight in group["params"]:
                goal = self._goals.get(id(weight))
                if goal is not None:
                    weight.lerp_(goal.to(weight), share)
