r"""Training in several processes on the very batches that a single process would read.

Of every batch, process :math:`r` of :math:`R` reads the examples :math:`r, r + R, r + 2R, ...`.
DistributedDataParallel gives all of them the mean of the processes' gradients. A mean over the
whole batch of :math:`n` examples, of which :math:`n_r` are one process's, is therefore

.. math::
    \frac1n \sum_{i=1}^n \ell_i = \frac1R \sum_r \frac{R \, n_r}{n} \bar\ell_r

and each process multiplies its mean :math:`\bar\ell_r` by :math:`R \, n_r / n`. Where a batch has
no example for a process, that one reads the batch's first and counts it as 0, as all have to take
part in averaging the gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from accelerate.data_loader import prepare_data_loader
from torch import Tensor, nn
from torch import distributed as dist
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, Sampler
from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments, set_seed
from transformers.trainer_callback import TrainerCallback
from transformers.trainer_utils import EvalLoopOutput

from ptu_seq.batch_norm import WholeBatchNorm
from ptu_seq.distributed import rank, world_size
from ptu_seq.errors import UserError
from ptu_seq.objectives import Objectives

#: Where a batch holds its :class:`Share`.
SHARE = "share"

#: What the seeds of two processes' dropout are apart.
SEEDS_APART = 100_003


@dataclass(frozen=True)
class Share:
    """What a process has of a batch that all read together.

    Args:
        own: examples, or label tokens, of this process.
        all: of all of them.
        processes: how many there are.
    """

    own: int
    all: int
    processes: int

    @property
    def of_mean(self) -> float:
        """What a mean over this process's part counts in the processes' mean."""
        return self.processes * self.own / self.all

    @property
    def of_sum(self) -> float:
        """What a sum over this process's part counts there, to be the sum over all parts."""
        return float(self.processes) if self.own else 0.0


#: The share of a single process: what it has is what all have.
WHOLE = Share(own=1, all=1, processes=1)


class OwnPart(Dataset[Any]):
    """Reads of every batch the part that is this process's.

    Args:
        rows: the examples.
        count: what each of them counts in a loss that is a mean; 1 if None.
        rank: this process.
        processes: how many there are.

    Example:
        >>> OwnPart(list("abcde"), None, rank=1, processes=2).__getitems__([0, 2, 4])
        (['c'], Share(own=1, all=3, processes=2))
        >>> OwnPart(list("abcde"), None, rank=1, processes=2).__getitems__([3])
        (['d'], Share(own=0, all=1, processes=2))
    """

    def __init__(
        self, rows: Any, count: Callable[[Any], int] | None, rank: int, processes: int
    ) -> None:
        self.rows, self.count = rows, count
        self.rank, self.processes = rank, processes

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: Sequence[int]) -> tuple[list[Any], Share]:
        """This process's rows of a batch that all read together, and their share of it."""
        own = indices[self.rank :: self.processes]
        share = Share(self._count(own), self._count(indices), self.processes)
        return [self.rows[i] for i in own or indices[:1]], share

    def _count(self, indices: Sequence[int]) -> int:
        if self.count is None:
            return len(indices)
        return sum(self.count(self.rows[i]) for i in indices)


class SharedOrder(Sampler[int]):
    """The order of rank 0's sampler, in all processes.

    Args:
        sampler: draws from the generator that dropout draws from as well, so that the processes'
            own orders would differ.
    """

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[int]:
        order = [list(self.sampler)]
        dist.broadcast_object_list(order)
        return iter(order[0])


class OwnDropout(TrainerCallback):
    """Gives each process but the first random numbers of its own, before the first step."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Sets the seed; what must be drawn alike has been drawn, or comes from rank 0."""
        if rank():
            set_seed((args.seed + SEEDS_APART * rank()) % 2**32)


class TrainsTogether(Trainer):
    """Trainer, but that several processes share each batch: see :mod:`ptu_seq.shared_batches`.

    `per_device_train_batch_size` is that of all processes together. In a single process nothing is
    different.

    Attributes:
        objectives: further losses, whose own weights are trained like the model's.
        norms: the model's batch norms.
    """

    objectives: Objectives

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Else a batch's items would be summed up with those that count as 0.
        self.args.average_tokens_across_devices = False
        self.add_callback(OwnDropout())
        self.norms = WholeBatchNorm(cast(nn.Module, self.model))

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Trains, after which batch norm reads what it is given as before."""
        try:
            return super().train(*args, **kwargs)
        finally:
            self.norms.close()

    def count(self) -> Callable[[Any], int] | None:
        """What an example counts in the loss; None: each the same."""
        return None

    def whole_batches(self) -> Sampler[list[int]]:
        """The batches of all processes together, alike in each.

        Raises:
            UserError: if a batch has fewer examples than there are processes.
        """
        size = self.args.train_batch_size
        if size < world_size():
            raise UserError(
                f"--batch_size over --gradient_accumulation_steps is {size}, of which "
                f"{world_size()} processes cannot all have a part: give a larger batch, or start "
                "fewer processes."
            )
        sampler: Any = self._get_train_sampler()
        if not isinstance(sampler, RandomSampler):  # accelerate seeds that one by itself
            sampler = SharedOrder(sampler)
        return BatchSampler(sampler, size, drop_last=False)

    def get_train_dataloader(self) -> DataLoader:
        """This process's parts of the batches."""
        if world_size() == 1:
            return super().get_train_dataloader()
        collate = self.data_collator

        def collate_part(part: Any) -> dict[str, Any]:
            rows, share = part
            return {**collate(rows), SHARE: share}

        loader: DataLoader = DataLoader(
            cast(Dataset[Any], OwnPart(self.train_dataset, self.count(), rank(), world_size())),
            batch_sampler=self.whole_batches(),
            collate_fn=collate_part,
            pin_memory=self.args.dataloader_pin_memory,
        )
        # As in a single process, since the batches are divided up already.
        return prepare_data_loader(
            loader, num_processes=1, process_index=0, use_seedable_sampler=True
        )

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """A step's parts, and what its loss is divided by: the items of all processes."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        if items is not None and all(SHARE in batch for batch in batches):  # a stream's have none
            items = sum(batch[SHARE].all for batch in batches)
        return batches, items

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Seq2SeqTrainer would keep the examples that fill up the processes' last batches."""
        self.gather_function = self.accelerator.gather_for_metrics
        return super().evaluation_loop(*args, **kwargs)

    def training_step(self, model: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        """A step, after which the objectives' own gradients are those of all processes as well."""
        loss = super().training_step(model, *args, **kwargs)
        if self.accelerator.sync_gradients:
            self.objectives.average_gradients()
        return loss
