"""Dropout of sequences: of features at each position or in a whole sentence, and of words."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from ptu_seq.nn.layout import Sequences


class SequenceDropout(nn.Module):
    """Drops features of a batch of sequences.

    Args:
        p: the probability.
        variational: whether a feature is dropped at all positions of a sequence or none (Gal &
            Ghahramani 2016), instead of at each by itself.

    Shape:
        - x: `(batch, length, features)` or packed
    """

    def __init__(self, p: float, variational: bool = False) -> None:
        super().__init__()
        self.p = p
        self.variational = variational

    def forward(self, x: Sequences) -> Sequences:
        """The sequences with features dropped; as they are outside training."""
        if not self.training or not self.p:
            return x
        if isinstance(x, PackedSequence):
            return x._replace(data=self._drop_packed(x.data, x.batch_sizes))
        length = 1 if self.variational else x.shape[1]
        return x * F.dropout(x.new_ones(len(x), length, x.shape[-1]), self.p)

    def _drop_packed(self, data: Tensor, batch_sizes: Tensor) -> Tensor:
        if not self.variational:
            return F.dropout(data, self.p)
        sequences = torch.arange(int(batch_sizes[0]))
        present = sequences < batch_sizes.unsqueeze(1)  # (steps, sequences), the order of the data
        owner = sequences.expand_as(present)[present].to(data.device)
        mask = F.dropout(data.new_ones(len(sequences), data.shape[-1]), self.p)
        return data * mask[owner]

    def extra_repr(self) -> str:
        """The probability, for `print(model)`."""
        return f"p={self.p}, variational={self.variational}"


class EmbeddingDropout(nn.Module):
    """Drops words, then features, of token vectors `(batch, length, features)`.

    Args:
        word_dropout: the probability that a position's whole vector is dropped.
        dropout: the probability that a feature is.
        variational: see :class:`SequenceDropout`.
    """

    def __init__(self, word_dropout: float, dropout: float, variational: bool = False) -> None:
        super().__init__()
        self.word_dropout = word_dropout
        self.features = SequenceDropout(dropout, variational)

    def forward(self, x: Tensor) -> Tensor:
        """The vectors with words and features dropped; as they are outside training."""
        if self.training and self.word_dropout:
            x = x * F.dropout(torch.ones_like(x[..., :1]), self.word_dropout)
        dropped = self.features(x)
        assert isinstance(dropped, Tensor)
        return dropped
