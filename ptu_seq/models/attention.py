"""Attention over the encoder's output: whatever depends on the sentence alone is made once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ptu_seq.models.seq2seq_config import AttentionType


class Memory(NamedTuple):
    """What a decoder attends to, one entry a sentence; all beams of a sentence share it.

    Shape:
        - values: `(sentences, length, features)`; keys: `(sentences, length, key features)`
        - mask: `(sentences, length)`, true at tokens
    """

    values: Tensor
    keys: Tensor
    mask: Tensor


class Attention(nn.Module):
    r"""The average of a sentence's values by a softmax over the scores of their keys.

    .. math::
        \alpha_{ij} = \mathrm{softmax}_j \mathrm{score}(q_i, v_j) \qquad
        c_i = \sum_j \alpha_{ij} v_j

    A subclass says what keys and scores are. There may be more rows of queries than sentences: the
    first `rows / sentences` of them belong to the first sentence, and so on, as beams do.

    Args:
        query_size: features of a query.
        value_size: features of a value.

    Shape:
        - query: `(rows, queries, query_size)`; context: `(rows, queries, value_size)`
        - weights: `(rows, queries, length)`
    """

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__()
        self.query_size = query_size
        self.value_size = value_size

    def remember(self, values: Tensor, mask: Tensor) -> Memory:
        """Prepares sentences to be attended to: their keys are computed once.

        Args:
            values: the encoder's output, `(sentences, length, value_size)`.
            mask: true at tokens, `(sentences, length)`.
        """
        return Memory(values, self.keys(values), mask)

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Every query's context and the weights that made it; padding has weight 0.

        Raises:
            ValueError: if the rows are no multiple of the sentences.
        """
        rows, queries, features = query.shape
        sentences, length, _ = memory.values.shape
        if rows % sentences:
            raise ValueError(
                f"Attention: {rows} rows of queries cannot be shared out evenly among "
                f"{sentences} sentences."
            )
        query = query.reshape(sentences, -1, features).contiguous()
        scores = self.scores(query, memory.keys)
        lowest = torch.finfo(scores.dtype).min
        weights = scores.masked_fill(~memory.mask.unsqueeze(1), lowest).softmax(dim=-1)
        context = torch.bmm(weights.to(memory.values.dtype), memory.values)
        return context.view(rows, queries, -1), weights.view(rows, queries, length)

    def keys(self, values: Tensor) -> Tensor:
        """What the scores read of each value."""
        raise NotImplementedError

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """`(sentences, queries, length)` from `(sentences, queries, ...)` and the keys."""
        raise NotImplementedError


class BahdanauAttention(Attention):
    r"""Additive attention, :math:`v \cdot \tanh(W_q q + W_k h + b)` (Bahdanau et al. 2015).

    The query is the decoder's state after it has read the token, as with Luong's attention; in the
    paper it is the state before. Each pair of positions has a vector of its own here, so training
    takes `queries * length` times the memory of the others.

    Example:
        >>> attention = BahdanauAttention(4, 6)
        >>> memory = attention.remember(torch.randn(2, 7, 6), torch.ones(2, 7, dtype=torch.bool))
        >>> context, weights = attention(torch.randn(2, 3, 4), memory)
        >>> context.shape, weights.shape
        (torch.Size([2, 3, 6]), torch.Size([2, 3, 7]))
    """

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__(query_size, value_size)
        self.key = nn.Linear(value_size, query_size)
        self.query = nn.Linear(query_size, query_size, bias=False)
        self.energy = nn.Linear(query_size, 1, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """The projected values, `W_k h + b`."""
        return self.key(values)

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """See the class."""
        hidden = torch.tanh(self.query(query).unsqueeze(2) + keys.unsqueeze(1))
        # As one matrix: torch else multiplies otherwise, and rounds, without gradients than with.
        return self.energy(hidden.flatten(0, 2)).view(hidden.shape[:3])


class LuongGeneralAttention(Attention):
    """Bilinear attention, `q . W h` (Luong et al. 2015, "general")."""

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__(query_size, value_size)
        self.key = nn.Linear(value_size, query_size, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """The projected values, `W h`."""
        return self.key(values)

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """See the class."""
        return torch.bmm(query, keys.transpose(1, 2))


class LuongDotAttention(Attention):
    """Attention without weights, `q . h` (Luong et al. 2015, "dot"), for equal sizes."""

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__(query_size, value_size)
        if query_size != value_size:
            raise ValueError(
                f"LuongDotAttention: queries have {query_size} features and values {value_size}; "
                "they must be equal."
            )

    def keys(self, values: Tensor) -> Tensor:
        """The values themselves."""
        return values

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """See the class."""
        return torch.bmm(query, keys.transpose(1, 2))


def make_attention(kind: AttentionType, query_size: int, value_size: int) -> Attention:
    """The attention of a configuration's name."""
    classes: dict[str, type[Attention]] = {
        "bahdanau": BahdanauAttention,
        "luong_general": LuongGeneralAttention,
        "luong_dot": LuongDotAttention,
    }
    return classes[kind](query_size, value_size)
