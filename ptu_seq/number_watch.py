"""Notices a training whose numbers are none any more, and says where that began."""

from __future__ import annotations

import math
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch import distributed as dist
from torch.utils.data import Dataset

from ptu_seq.distributed import world_size
from ptu_seq.errors import NumericalError

#: What is watched, in the order of a step.
WATCHED = ("loss", "norm of the gradient")

#: A step that no training reaches.
_NEVER = torch.iinfo(torch.int64).max

#: The sentence names so many examples at most.
_NAMED = 12


class NumberedExamples(Dataset[Any]):
    """A training set that knows which of its examples were drawn, in a process without workers.

    Args:
        examples: the training set.

    Example:
        >>> examples = NumberedExamples(["a", "b", "c"])
        >>> examples[2], examples[0]
        ('c', 'a')
        >>> examples.take(1), examples.take(1)
        ([2], [0])
    """

    def __init__(self, examples: Any) -> None:
        self.examples = examples
        self._drawn: list[int] = []

    def __len__(self) -> int:
        return len(cast(Sized, self.examples))

    def __getitem__(self, index: int) -> Any:
        example = self.examples[index]
        self._drawn.append(index)
        return example

    def take(self, count: int) -> list[int]:
        """The positions of the so many that were drawn first and not taken yet."""
        taken = self._drawn[:count]
        del self._drawn[:count]
        return taken

    def clear(self) -> None:
        """Forgets what was drawn."""
        self._drawn.clear()


@dataclass
class _Step:
    examples: list[int]
    rate: float


class NumberWatch:
    """Watches the loss and the norm of the gradient at every step.

    On a GPU nobody waits for a number: the first step that had none is kept there until
    :meth:`check` asks for it. On a CPU every number is looked at once it is there. Where several
    processes train together, none may end while others wait for its part of a step: all of them ask
    at the same time, and fail alike.

    Args:
        device: where the numbers are.
    """

    def __init__(self, device: torch.device) -> None:
        self._first = torch.full((len(WATCHED),), _NEVER, device=device)
        self._at_once = device.type == "cpu" and world_size() == 1
        self._steps: dict[int, _Step] = {}

    def begin(self, step: int, examples: Sequence[int], rate: float) -> None:
        """Notes what a step learns from; called again for each part of its batch."""
        self._steps.setdefault(step, _Step([], rate)).examples.extend(examples)

    def note(self, watched: str, step: int, value: Tensor, checkpoint: Path | None) -> None:
        """Looks at a number.

        Raises:
            NumericalError: if it is not finite, in a single process on a CPU.
        """
        place = WATCHED.index(watched)
        if self._at_once:
            if not math.isfinite(value.detach().float().numpy()):
                self._fail(place, step, checkpoint)
            return
        now = torch.where(torch.isfinite(value.detach()), _NEVER, step)
        self._first[place] = torch.minimum(self._first[place], now)

    def check(self, checkpoint: Path | None) -> None:
        """Looks at all numbers since the last time.

        Raises:
            NumericalError: if one was not finite, in any of the processes.
        """
        if not self._at_once:
            if world_size() > 1:
                dist.all_reduce(self._first, dist.ReduceOp.MIN)
            first = self._first.tolist()
            if min(first) < _NEVER:
                self._fail(first.index(min(first)), min(first), checkpoint)
        self._steps.clear()

    def _fail(self, place: int, number: int, checkpoint: Path | None) -> None:
        step = self._steps.get(number, _Step([], math.nan))
        named = ", ".join(map(str, step.examples[:_NAMED]))
        more = len(step.examples) - _NAMED
        raise NumericalError(
            f"step {number}: the {WATCHED[place]} is not a finite number (learning rate "
            f"{step.rate:.3g}"
            + (
                f"; examples {named}{f' and {more} more' if more > 0 else ''} of the training set, "
                "counted from 0); "
                if named  # a stream's have no numbers
                else "); "
            )
            + (
                "no checkpoint had been written."
                if checkpoint is None
                else f"the last checkpoint before it is {checkpoint}."
            ),
            step=number,
            learning_rate=step.rate,
            examples=list(step.examples),
            checkpoint=None if checkpoint is None else str(checkpoint),
        )
