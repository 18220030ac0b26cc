"""Batches of about the same number of tokens, from sentences of about the same length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler


class TokenBatchSampler(Sampler[list[int]]):
    """Batches with at most a number of tokens, padding included.

    A batch of `n` examples is counted as `n` times its longest side, source or target. In each
    epoch the examples are shuffled, sorted by length within windows of them, and cut into batches,
    which are then shuffled: little padding, yet ever new company. The batches follow from the
    lengths, the seed and the epoch alone. An example that is longer than the limit makes a batch by
    itself.

    Args:
        lengths: the longer side of each example in tokens (:func:`pair_lengths`).
        max_tokens: most tokens of a batch.
        seed: decides the order together with the epoch.
        window: examples that are sorted together; more, and batches have less padding.

    Raises:
        ValueError: if there are no examples, or `max_tokens` or `window` is not positive.

    Example:
        >>> sampler = TokenBatchSampler([3, 9, 2, 3, 8], max_tokens=10)
        >>> sorted(sorted(batch) for batch in sampler)
        [[0, 2, 3], [1], [4]]
    """

    def __init__(
        self, lengths: Sequence[int], max_tokens: int, *, seed: int = 0, window: int = 4096
    ) -> None:
        if len(lengths) == 0:
            raise ValueError("there are no examples to make batches of")
        if max_tokens < 1 or window < 1:
            raise ValueError(f"max_tokens ({max_tokens}) and window ({window}) must be positive")
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.max_tokens = max_tokens
        self.seed = seed
        self.window = window
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Makes the batches of an epoch, counted from 0."""
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(len(self.lengths))
        batches = [
            batch
            for start in range(0, len(order), self.window)
            for batch in self._cut(order[start : start + self.window])
        ]
        self._batches = [batches[i] for i in random.permutation(len(batches))]

    def _cut(self, examples: np.ndarray) -> Iterator[list[int]]:
        """Sorts examples by length and cuts them where the next would not fit any more."""
        examples = examples[np.argsort(self.lengths[examples], kind="stable")]
        batch: list[int] = []
        for example in examples.tolist():
            # In this order the next example is the longest of its batch.
            if batch and (len(batch) + 1) * self.lengths[example] > self.max_tokens:
                yield batch
                batch = []
            batch.append(example)
        yield batch

    def __iter__(self) -> Iterator[list[int]]:
        """The batches of the epoch, each a list of indices."""
        return iter(list(map(list, self._batches)))

    def __len__(self) -> int:
        """The number of batches in this epoch; another epoch may have a few more or fewer."""
        return len(self._batches)


def pair_lengths(examples: Sequence[dict[str, list[int]]]) -> list[int]:
    """The longer side of each tokenised pair ("input_ids" and "labels") in tokens."""
    return [max(len(example["input_ids"]), len(example["labels"])) for example in examples]
