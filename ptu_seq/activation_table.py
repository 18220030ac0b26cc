"""What a frozen network makes of each example of a fixed set, computed once and read by example."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ptu_seq.batches import Examples, Row, pad

#: Examples that a network reads at once. Kernels round by the number of rows they are given, so
#: another number would give activations that differ in the last bit.
GROUP = 256


class Lender(Protocol):
    """A frozen network, and what of its activations is kept of each example."""

    @property
    def network(self) -> nn.Module:
        """The network."""
        ...

    @property
    def padding(self) -> int:
        """The token that fills up its batches."""
        ...

    def fingerprint(self) -> str:
        """Tells networks and what is kept of them apart: equal where the activations are."""
        ...

    def shapes(self, inputs: Mapping[str, Tensor]) -> list[dict[str, tuple[int, ...]]]:
        """For each example of a batch the names and shapes of what is kept, before it is computed.

        All axes but the first are equal for all examples.
        """
        ...

    def lend(self, inputs: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """These tensors for each example of a batch, none of them with a gradient."""
        ...


class ActivationTable(Dataset[Row]):
    """Tensors of examples, where each example has its own length: one long tensor a name.

    Args:
        columns: the tensors of all examples by name, joined along the first axis.
        lengths: of each example's own part of it.

    Example:
        >>> table = ActivationTable({"hidden": torch.arange(5.0)}, {"hidden": [2, 3]})
        >>> len(table), table[1]["hidden"]
        (2, tensor([2., 3., 4.]))
    """

    def __init__(self, columns: Mapping[str, Tensor], lengths: Mapping[str, Sequence[int]]) -> None:
        self.columns = dict(columns)
        self.lengths = {name: list(lengths[name]) for name in columns}
        self._ends = {name: list(accumulate(own)) for name, own in self.lengths.items()}

    def __len__(self) -> int:
        return max(map(len, self.lengths.values()), default=0)

    def __getitem__(self, index: int) -> Row:
        row = {}
        for name, column in self.columns.items():
            end = self._ends[name][index]
            row[name] = column[end - self.lengths[name][index] : end]
        return row


class WithActivations(Dataset[Row]):
    """Examples, each with the activations of a table beside its own tensors.

    Args:
        examples: tokenised examples.
        table: a row for each of them.
    """

    def __init__(self, examples: Examples, table: ActivationTable) -> None:
        self.examples, self.table = examples, table

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Row:
        return {**self.examples[index], **self.table[index]}


def table_bytes(lender: Lender, examples: Sequence[Row], dtype: torch.dtype) -> int:
    """The size of a table, known before it is computed."""
    shapes = _shapes(lender, examples)
    return dtype.itemsize * sum(math.prod(shape) for row in shapes for shape in row.values())


def compute_table(
    lender: Lender, examples: Sequence[Row], dtype: torch.dtype = torch.float32
) -> ActivationTable:
    """Runs a frozen network over examples, sorted by length and in groups of one size.

    The same examples always fall into the same groups, so their activations are the same to the
    bit, on one machine and number of threads. In other batches they would differ in the last bit,
    as kernels round by the number of rows that they are given.

    Args:
        lender: the network and what is kept of it.
        examples: tokenised examples; "labels" among them are not read.
        dtype: what the activations are kept in.

    Returns:
        A row for each example, on the CPU.
    """
    shapes = _shapes(lender, examples)
    lengths = {name: [row[name][0] for row in shapes] for name in shapes[0]}
    table = ActivationTable(
        {
            name: torch.empty(sum(lengths[name]), *shape[1:], dtype=dtype)
            for name, shape in shapes[0].items()
        },
        lengths,
    )
    order = sorted(range(len(examples)), key=lambda i: len(examples[i]["input_ids"]))
    device = next(lender.network.parameters()).device
    for start in range(0, len(order), GROUP):
        group = order[start : start + GROUP]
        inputs = _inputs(lender, [examples[i] for i in group])
        on_device = {name: tensor.to(device) for name, tensor in inputs.items()}
        for i, lent in zip(group, lender.lend(on_device), strict=True):
            for name, place in table[i].items():
                place.copy_(lent[name])
    return table


def _shapes(lender: Lender, examples: Sequence[Row]) -> list[dict[str, tuple[int, ...]]]:
    groups = (examples[start : start + GROUP] for start in range(0, len(examples), GROUP))
    return [shapes for group in groups for shapes in lender.shapes(_inputs(lender, group))]


def _inputs(lender: Lender, rows: Sequence[Row]) -> dict[str, Tensor]:
    batch = pad(rows, lender.padding)
    return {name: tensor for name, tensor in batch.items() if name != "labels"}
