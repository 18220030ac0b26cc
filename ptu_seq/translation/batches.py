"""Encoded sentence pairs as batches: by token count in training, padded, drawn for validation."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Sampler

from ptu_seq.data.streams import StreamedBatches, TrainingRows
from ptu_seq.data.token_batches import TokenBatchSampler, pair_lengths
from ptu_seq.data.translation_rows import Pair
from ptu_seq.data.vocabulary import TokenizerPair

#: A pair as token ids: "input_ids" and "labels".
Example = dict[str, list[int]]

#: The label of positions that the loss leaves out.
IGNORED = -100


class EndlessBatches(Sampler[list[int]]):
    """Batches by token count, epoch after epoch, each in an order of its own.

    Without an end, and so without a length, as epochs differ in their number of batches: Trainer
    then counts steps alone.

    Args:
        examples: the training examples.
        batch_tokens: tokens in a batch, padding included.
        seed: of the order.
    """

    def __init__(self, examples: Sequence[Example], batch_tokens: int, seed: int) -> None:
        self.sampler = TokenBatchSampler(pair_lengths(examples), batch_tokens, seed=seed)

    @property
    def batches_an_epoch(self) -> int:
        """Batches of the first epoch; others have about as many."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[list[int]]:
        for epoch in itertools.count():
            self.sampler.set_epoch(epoch)
            yield from self.sampler


#: Pairs of a stream that are sorted by length together, as many as of those in memory.
WINDOW = 4096


def stream_batches(
    rows: TrainingRows[Pair],
    sample: Sequence[Pair],
    tokenizers: TokenizerPair,
    keep: Callable[[Example], Example | None],
    batch_tokens: int,
    *,
    buffer: int,
    seed: int,
) -> StreamedBatches[Pair]:
    """Batches of a streamed data set for a translator, by token count.

    Args:
        rows: its training pairs.
        sample: some of them, in random order, by the first of which the batches of an epoch are
            estimated: only tokenising all pairs would tell.
        tokenizers: of the translator.
        keep: what is learned of a pair; None if it is too long.
        batch_tokens: tokens in a batch, padding included.
        buffer: pairs that are shuffled together.
        seed: decides the order.
    """

    def encoded(pairs: Sequence[Pair]) -> list[Example]:
        sources = tokenizers.encode_source([pair.source for pair in pairs])
        targets = tokenizers.encode_target([pair.target for pair in pairs])
        examples = (
            {"input_ids": source, "labels": target}
            for source, target in zip(sources, targets, strict=True)
        )
        return [kept for example in examples if (kept := keep(example)) is not None]

    def cut(examples: Sequence[Example], seed: int) -> list[list[int]]:
        return list(TokenBatchSampler(pair_lengths(examples), batch_tokens, seed=seed))

    padded = partial(collate, pad_token_id=int(tokenizers.target.pad_token_id))
    few = sample[:WINDOW]
    examples = encoded(few)
    batches = len(cut(examples, seed)) if examples else 0
    # One at least, where the sample has any.
    an_epoch = math.ceil(batches * rows.count / max(1, len(few)))
    return StreamedBatches(rows, buffer, WINDOW, encoded, cut, padded, seed, an_epoch)


def collate(rows: Sequence[Example], pad_token_id: int) -> dict[str, Tensor]:
    """A batch padded on the right: "input_ids", "attention_mask" and "labels" (padded by -100).

    Example:
        >>> rows = [{"input_ids": [5, 3], "labels": [3]}, {"input_ids": [3], "labels": [6, 3]}]
        >>> batch = collate(rows, pad_token_id=0)
        >>> batch["input_ids"].tolist(), batch["labels"].tolist()
        ([[5, 3], [3, 0]], [[3, -100], [6, 3]])
    """
    sources = [torch.as_tensor(row["input_ids"]) for row in rows]
    targets = [torch.as_tensor(row["labels"]) for row in rows]
    return {
        "input_ids": pad_sequence(sources, batch_first=True, padding_value=pad_token_id),
        "attention_mask": pad_sequence([torch.ones_like(s) for s in sources], batch_first=True),
        "labels": pad_sequence(targets, batch_first=True, padding_value=IGNORED),
    }


def validation_rows(validation: Sequence[Example], count: int) -> list[int]:
    """Which examples an evaluation translates: the same for all runs, of like length together."""
    rows = range(len(validation))
    chosen = random.Random(0).sample(rows, count) if count < len(rows) else list(rows)
    return sorted(chosen, key=lambda i: (len(validation[i]["input_ids"]), i))
