"""The order in which a recurrence walks a sequence, and the state that each step starts from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor


class Walk(NamedTuple):
    """A direction's way through the data of a batch, one block of rows a step.

    Data is `(rows, features)`, a step's sequences side by side and step after step, as a
    PackedSequence lies. So no step is spent on padding: the batch shrinks as sequences end or, in
    reverse, grows as they begin.

    Args:
        sizes: sequences alive at each step, in the order of the data.
        reverse: whether the last step comes first.
    """

    sizes: list[int]
    reverse: bool

    @classmethod
    def of(cls, x: Tensor, batch_sizes: Tensor | None, reverse: bool) -> Self:
        """Of padded `x`, `(time, batch, features)`, or of packed data with its `batch_sizes`."""
        if batch_sizes is None:
            return cls([x.shape[1]] * x.shape[0], reverse)
        return cls(batch_sizes.tolist(), reverse)

    def blocks(self, data: Tensor) -> tuple[Tensor, ...]:
        """Every step's rows, in the order walked."""
        blocks = data.split(self.sizes)
        return blocks[::-1] if self.reverse else blocks

    def join(self, blocks: list[Tensor]) -> Tensor:
        """The inverse of :meth:`blocks`."""
        return torch.cat(blocks[::-1] if self.reverse else blocks)

    def before(self, step: int, blocks: Sequence[Tensor], first: Tensor) -> Tensor:
        """The state that a step starts from.

        Args:
            step: counted in the order walked.
            blocks: the states after the steps, as :meth:`blocks` has them.
            first: the state before all, `(batch, features)`.
        """
        batch = len(blocks[step])
        if step == 0:
            return first[:batch]
        last = blocks[step - 1]
        if len(last) == batch:
            return last
        if len(last) > batch:
            return last[:batch]
        return torch.cat([last, first[len(last) : batch]])

    def all_before(self, data: Tensor, first: Tensor) -> Tensor:
        """The states that all steps start from, row by row of the states `data` after them."""
        blocks = self.blocks(data)
        return self.join([self.before(step, blocks, first) for step in range(len(blocks))])

    def final(self, data: Tensor) -> Tensor:
        """The state after each sequence's last step, `(batch, features)`."""
        blocks = self.blocks(data)
        # Longest first: where sequences end early, their entries are the last of the batch.
        ends = [
            block[len(following) :] for block, following in zip(blocks, blocks[1:], strict=False)
        ]
        return torch.cat([blocks[-1], *reversed(ends)])
