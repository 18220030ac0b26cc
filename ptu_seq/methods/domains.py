"""Examples of both tasks, for methods that learn from more than the target's labelled few."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ptu_seq.distributed import rank, world_size
from ptu_seq.errors import UserError
from ptu_seq.models.labels import matching_labels

#: Methods see so many examples of each task at most.
DOMAIN_EXAMPLES = 5000

Row = Mapping[str, Tensor]
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Domains:
    """The source's examples, and the target's without their labels.

    Args:
        source: rows with "labels".
        target: rows; labels among them are never read.
        source_labels: names of the source's labels.
        target_labels: names of the target's.
        collate: makes a batch of rows.
        batch_size: examples of each in a batch, or all there are if those are fewer.
        seed: orders the batches.

    Raises:
        UserError: if a batch would hold a single example, which is at no distance from others.
    """

    source: Dataset[Any]
    target: Dataset[Any]
    source_labels: Sequence[str]
    target_labels: Sequence[str]
    collate: Callable[[list[Any]], Batch]
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        flags = "--batch_size over --gradient_accumulation_steps"
        check_sizes(cast(Sized, self.source), cast(Sized, self.target), self.batch_size, flags)

    def batches(self) -> Iterator[tuple[Batch, Batch]]:
        """Batches of source and target examples, without end.

        Those of the source have "labels" where both tasks have the same named ones, as the
        target numbers them; those of the target have none.
        """
        positions = matching_labels(self.source_labels, self.target_labels)
        ids = None if positions is None else [positions.index(i) for i in range(len(positions))]
        source, target = _Relabelled(self.source, ids), _Relabelled(self.target, None)
        return zip(
            endless_batches(source, self.batch_size, self.collate, self.seed),
            endless_batches(target, self.batch_size, self.collate, self.seed + 1),
            strict=True,
        )


def check_sizes(source: Sized, target: Sized, batch_size: int, flags: str) -> None:
    """Checks that batches of both tasks can be compared.

    Args:
        source: the source's examples.
        target: the target's.
        batch_size: examples of each in a batch.
        flags: what that follows from, for the message.

    Raises:
        UserError: if a batch would hold a single example, which is at no distance from others.
    """
    if min(batch_size, len(source), len(target)) < 2:
        raise UserError(
            f"companions compare batches of at least 2 examples; there are {len(source)} of the "
            f"source and {len(target)} of the target, and {batch_size} in each part of a batch "
            f"({flags})."
        )


def endless_batches(
    rows: Any, batch_size: int, collate: Callable[[list[Any]], Batch], seed: int
) -> Iterator[Batch]:
    """Batches of rows, epoch after epoch in new orders, that are all of one size.

    Args:
        rows: a sequence or data set.
        batch_size: rows in a batch, or all there are if those are fewer.
        collate: makes a batch of rows.
        seed: of the orders.
    """
    loader = DataLoader(
        rows,
        min(batch_size, len(rows)),
        shuffle=True,
        drop_last=True,
        collate_fn=collate,
        generator=torch.Generator().manual_seed(seed),
    )
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    # Of several processes each takes its turn, as parts of a batch do in a single one.
    return itertools.islice(batches, rank(), None, world_size())


class _Relabelled(Dataset[Row]):
    def __init__(self, rows: Any, ids: Sequence[int] | None) -> None:
        self.rows, self.ids = rows, ids

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        row = dict(self.rows[index])
        label = row.pop("labels")
        if self.ids is not None:
            row["labels"] = torch.tensor(self.ids[int(label)])
        return row
