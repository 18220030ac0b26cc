"""Watches a training for numbers that the host waits for, which on a GPU would hold it up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.trainer_callback import TrainerCallback


class _Reads(TorchDispatchMode):
    """Counts conversions of tensors to numbers: `item`, `bool`, `int`, `float` (not `cpu`)."""

    count = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            self.count += 1
        return func(*args, **(kwargs or {}))


class HostReads(TrainerCallback):
    """The numbers read in each optimisation step, from forward pass to optimiser.

    Attributes:
        of_steps: how many there were, step by step.
    """

    def __init__(self) -> None:
        self.of_steps: list[int] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.mode = _Reads()
        self.mode.__enter__()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.mode.__exit__(None, None, None)
        self.of_steps.append(self.mode.count)
