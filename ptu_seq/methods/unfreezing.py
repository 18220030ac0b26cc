"""Training in stages: layers that sleep until their stage of the training begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle
from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import TrainerCallback

from ptu_seq.methods.layers import Layer


@dataclass(frozen=True)
class Stage:
    """Layers, and when they begin to learn.

    Args:
        start: share of the training's steps after which they do, 0 to 1.
        layers: the layers.
    """

    start: float
    layers: Sequence[Layer]


class StagedUnfreezing(TrainerCallback):
    """Keeps layers as they are, asleep, until their stage begins.

    Asleep a layer's weights get no gradient, its dropout drops nothing and its batch norm keeps the
    statistics it has. All weights belong to the optimiser from the start; it passes over those
    without a gradient. When training ends, however early, all layers can learn again.

    Args:
        stages: in any order; layers in none of them learn from the first step on.

    Raises:
        ValueError: for a start outside 0 to 1.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        for stage in stages:
            if not 0 <= stage.start <= 1:
                raise ValueError(
                    f"StagedUnfreezing: a stage starts at {stage.start}; 0 to 1 are accepted."
                )
        self._asleep = list(stages)
        self._handles: dict[int, list[RemovableHandle]] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Puts all stages' layers to sleep."""
        for stage in self._asleep:
            self._handles[id(stage)] = [
                handle for layer in stage.layers for handle in put_to_sleep(layer)
            ]

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Wakes the layers whose stage begins; Trainer then sets the mode of all modules."""
        for stage in list(self._asleep):
            if state.global_step >= round(stage.start * state.max_steps):
                self._wake(stage)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Wakes what early stopping left asleep."""
        for stage in list(self._asleep):
            self._wake(stage)

    def _wake(self, stage: Stage) -> None:
        self._asleep.remove(stage)
        for layer in stage.layers:
            for weight in layer.parameters:
                weight.requires_grad_(True)
        for handle in self._handles.pop(id(stage), []):
            handle.remove()


def put_to_sleep(layer: Layer) -> list[RemovableHandle]:
    """Has a layer stay as it is, for good: see :class:`StagedUnfreezing`.

    Returns:
        What keeps its modules asleep.
    """
    for weight in layer.parameters:
        weight.requires_grad_(False)
    return [module.register_forward_pre_hook(_sleep) for module in layer.modules]


def _sleep(module: nn.Module, args: Any) -> None:
    module.eval()
