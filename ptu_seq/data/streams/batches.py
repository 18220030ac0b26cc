"""Batches of a stream without end: rows are read, tokenised and sorted by length as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import IterableDataset as TorchStream
from transformers import TrainingArguments

from ptu_seq.data.streams.blocks import Block, ShuffledBlocks
from ptu_seq.data.streams.training_rows import TrainingRows
from ptu_seq.errors import UserError

T = TypeVar("T")

#: A tokenised row.
Example = dict[str, Any]


class StreamedBatches(TorchStream[dict[str, Tensor]], Generic[T]):
    """Batches for training, epoch after epoch without end.

    A block of rows is read and shuffled, and cut into windows; the rows of a window are tokenised
    together and cut into batches of about the same length. In memory are one block, as text, and
    one window of tokens.

    What stood before a stop comes again, to the row: a state names the block, the window and the
    batch in it, and after :meth:`load_state_dict` the next batch is the one that would have come
    next. That reads the earlier rows of the file again but tokenises at most one window of them.

    Args:
        rows: what is learned from.
        buffer: rows of a block.
        window: rows that are tokenised together and sorted by length.
        encode: tokenises rows; it may leave some out.
        cut: cuts examples into batches, by a seed: indices of each.
        collate: makes tensors of a batch.
        seed: decides the order.
        batches_an_epoch: about how many batches an epoch has, where that is not a matter of rows.
    """

    def __init__(
        self,
        rows: TrainingRows[T],
        buffer: int,
        window: int,
        encode: Callable[[list[T]], list[Example]],
        cut: Callable[[Sequence[Example], int], Sequence[Sequence[int]]],
        collate: Callable[[list[Example]], dict[str, Tensor]],
        seed: int,
        batches_an_epoch: int = 0,
    ) -> None:
        self.rows, self.buffer, self.window = rows, buffer, window
        self.encode, self.cut, self.collate = encode, cut, collate
        self.seed, self.batches_an_epoch = seed, batches_an_epoch
        self._rank, self._world_size = 0, 1
        self._block: Mapping[str, Any] | None = None  # none has been read yet
        self._window = self._batch = 0

    @property
    def examples(self) -> int:
        """The rows of an epoch, over all processes."""
        return self.rows.count

    def shard(self, rank: int, world_size: int) -> None:
        """Leaves to this process its own part of the rows.

        Args:
            rank: which of the processes this is, from 0.
            world_size: how many there are. Each row is one process's alone in every epoch.
        """
        self._rank, self._world_size = rank, world_size

    def loader(self, arguments: TrainingArguments) -> DataLoader[dict[str, Tensor]]:
        """A loader for Trainer, which need not be prepared for several processes.

        It reads no batch before it is asked for, so that states are exact.
        """
        self.shard(arguments.process_index, arguments.world_size)
        return DataLoader(
            self,
            batch_size=None,
            pin_memory=arguments.dataloader_pin_memory,
            generator=torch.Generator(),  # or it would draw from the one that dropout draws from
        )

    def state_dict(self) -> dict[str, Any]:
        """What the next batch of this process will be, fit for JSON."""
        block = None if self._block is None else dict(self._block)
        return {"block": block, "window": self._window, "batch": self._batch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state of a stream of the same rows, settings and processes."""
        self._block, self._window, self._batch = state["block"], state["window"], state["batch"]

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """The batches from the state on.

        Raises:
            UserError: if a whole epoch gives none.
        """
        blocks = ShuffledBlocks(
            self.rows.rows, self.buffer, self.seed, rank=self._rank, world_size=self._world_size
        )
        made = True  # nothing is known of an epoch that has begun before
        if self._block is not None:
            blocks.load_state_dict(self._block)
        for block in blocks:
            self._block = blocks.state_dict()
            if self._block["block"] == 0 and not (self._window or self._batch):
                if not made:
                    raise UserError(
                        "A whole pass over the training rows gave not one batch: every row was "
                        "too long, too unlike its translation, or held out."
                    )
                made = False
            for batch in self._batches(block):
                made = True
                yield batch

    def _batches(self, block: Block) -> Iterator[dict[str, Tensor]]:
        """The batches of a block, from the state's window and batch on."""
        rows = [usable for row in block.rows if (usable := self.rows.usable(row)) is not None]
        starts = range(0, len(rows), self.window)
        seeds = block.random.integers(np.iinfo(np.int32).max, size=len(starts)).tolist()
        for number in range(self._window, len(starts)):
            examples = self.encode(rows[starts[number] : starts[number] + self.window])
            batches = self.cut(examples, seeds[number]) if examples else []
            for batch in batches[self._batch :]:
                # Before the batch is given, as what follows may not be asked for.
                self._window, self._batch = number, self._batch + 1
                yield self.collate([examples[i] for i in batch])
            self._window, self._batch = number + 1, 0
        self._window = self._batch = 0
