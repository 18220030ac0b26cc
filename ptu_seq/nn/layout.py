"""The layouts in which torch.nn takes sequences, and the two that the layers work in.

Inside, a batch of sequences is either `(time, batch, features)` or the data of a PackedSequence,
`(positions, features)`. A :class:`Layout` remembers how a batch arrived, and returns results alike.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

Sequences = Tensor | PackedSequence


class Layout(NamedTuple):
    """How a batch of sequences arrived: padded (either axis first), unbatched, or packed."""

    owner: str
    batch_first: bool
    batched: bool
    packed: PackedSequence | None

    @classmethod
    def of(cls, x: Sequences, batch_first: bool, owner: str) -> Layout:
        """The layout of `x`; `owner` is the class named in error messages."""
        if isinstance(x, PackedSequence):
            return cls(owner, batch_first, True, x)
        if x.dim() not in (2, 3):
            raise ValueError(f"{owner}: the input has {x.dim()} axes; 2 (unbatched) or 3 expected.")
        return cls(owner, batch_first, x.dim() == 3, None)

    @property
    def batch_sizes(self) -> Tensor | None:
        """The number of sequences alive at each step, if the batch is packed."""
        return None if self.packed is None else self.packed.batch_sizes

    def batch(self, data: Tensor) -> int:
        """The number of sequences."""
        return data.shape[1] if self.packed is None else int(self.packed.batch_sizes[0])

    def enter(self, x: Sequences, features: int, name: str) -> Tensor:
        """`x` as time-major or packed data; errors call it `name`."""
        if isinstance(x, PackedSequence):
            if self.packed is None:
                raise ValueError(f"{self.owner}: the {name} is packed but the input is not.")
            data = x.data
        elif self.packed is not None:
            raise ValueError(f"{self.owner}: the input is packed but the {name} is not.")
        elif x.dim() != 2 + self.batched:
            raise ValueError(
                f"{self.owner}: the {name} has {x.dim()} axes and the input {2 + self.batched}; "
                "they must be equal."
            )
        elif not self.batched:
            data = x.unsqueeze(1)
        else:
            data = x.transpose(0, 1) if self.batch_first else x
        if data.shape[0] == 0:
            raise ValueError(f"{self.owner}: the {name} has no time step; at least 1 expected.")
        if data.shape[-1] != features:
            raise ValueError(
                f"{self.owner}: the last axis of the {name} has size {data.shape[-1]}; "
                f"{features} expected."
            )
        return data

    def enter_beside(self, data: Tensor, other: Sequences, features: int, name: str) -> Tensor:
        """`other` as :meth:`enter` gives it, once its positions are checked against `data`."""
        entered = self.enter(other, features, name)
        axes = ("position",) if self.packed is not None else ("time", "batch")
        for axis, size, expected in zip(axes, entered.shape, data.shape, strict=False):
            if size != expected:
                raise ValueError(
                    f"{self.owner}: the {axis} axis of the {name} has size {size}, "
                    f"that of the input {expected}; they must be equal."
                )
        if self.packed is not None and isinstance(other, PackedSequence):
            mine, theirs = (
                (packed.batch_sizes, packed.sorted_indices) for packed in (self.packed, other)
            )
            if not all(map(_equal, mine, theirs)):
                raise ValueError(
                    f"{self.owner}: the {name} and the input are packed with different lengths "
                    "or in different orders."
                )
        return entered

    def leave(self, data: Tensor) -> Sequences:
        """`data` in the layout in which the input arrived."""
        return self.leave_data(data) if self.packed is None else self.packed._replace(data=data)

    def leave_data(self, data: Tensor) -> Tensor:
        """Like :meth:`leave`, but the bare data of a packed batch."""
        if self.packed is not None:
            return data
        if not self.batched:
            return data.squeeze(1)
        return data.transpose(0, 1) if self.batch_first else data

    def check_state(self, part: Tensor, shape: tuple[int, ...], name: str) -> None:
        """Raises ValueError, naming the axis and both sizes, unless `part` has this shape."""
        axes = ("layer", "batch", "hidden") if self.batched else ("layer", "hidden")
        if part.dim() != len(shape):
            raise ValueError(
                f"{self.owner}: the {name} has {part.dim()} axes; {len(shape)} expected "
                f"({', '.join(axes)})."
            )
        for axis, size, expected in zip(axes, part.shape, shape, strict=True):
            if size != expected:
                raise ValueError(
                    f"{self.owner}: the {axis} axis of the {name} has size {size}; "
                    f"{expected} expected."
                )

    def enter_state(self, part: Tensor) -> Tensor:
        """A state with its batch axis, in the order of the data."""
        indices = None if self.packed is None else self.packed.sorted_indices
        part = part if self.batched else part.unsqueeze(1)
        return part if indices is None else part.index_select(1, indices)

    def leave_state(self, part: Tensor) -> Tensor:
        """A state as it arrived: in the caller's order, and without a batch axis if it had none."""
        indices = None if self.packed is None else self.packed.unsorted_indices
        part = part if self.batched else part.squeeze(1)
        return part if indices is None else part.index_select(1, indices)


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b or (a is not None and b is not None and torch.equal(a, b))
