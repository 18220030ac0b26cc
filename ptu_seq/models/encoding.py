"""What the classifiers share: reading a batch, pooling hidden states, joining a pair."""

from __future__ import annotations

from typing import NamedTuple, TypedDict, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ptu_seq.models.config import RNNConfig
from ptu_seq.nn.layout import Sequences


class Batch(NamedTuple):
    """Sentences as the networks read them; the sides of a pair lie one after the other.

    Shape:
        - ids, mask: `(sentences, length)`, where a batch of `n` pairs has `2 n` sentences: all
          premises, then all hypotheses. `mask` is true at tokens.
        - lengths: `(sentences,)`, at least 1.
    """

    ids: Tensor
    mask: Tensor
    lengths: Tensor


def read_batch(
    config: RNNConfig,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    token_type_ids: Tensor | None = None,
) -> Batch:
    """A batch of tokenised examples as sentences; their padding may stand on either side.

    A sentence without tokens, such as an empty hypothesis, is read as one padding token.

    Args:
        config: says whether examples are pairs, and which token is padding.
        input_ids: tokens, `(batch, length)`; a pair is one sequence, premise then hypothesis.
        attention_mask: 1 at tokens and 0 at padding; all but the padding token if None.
        token_type_ids: 0 at the premise and 1 at the hypothesis; needed for pairs.

    Raises:
        ValueError: for pairs without `token_type_ids`.
    """
    padding = config.pad_token_id
    mask = input_ids != padding if attention_mask is None else attention_mask.bool()
    if not config.is_pair:
        return read_sentences(input_ids, mask, padding)
    if token_type_ids is None:
        raise ValueError(
            "This model reads pairs: token_type_ids are needed, 0 at the premise and 1 at the "
            "hypothesis; the tokenizer gives them for tokenizer(premise, hypothesis)."
        )
    sides = torch.cat([mask & (token_type_ids == 0), mask & (token_type_ids == 1)])
    ids, mask, lengths = read_sentences(torch.cat([input_ids, input_ids]), sides, padding)
    longest = int(lengths.max())  # about half of each row: the other side's place
    return Batch(ids[:, :longest], mask[:, :longest], lengths)


def read_sentences(ids: Tensor, kept: Tensor, padding: int) -> Batch:
    """The kept tokens of each row, moved to its front in their order.

    Args:
        ids: tokens, `(sentences, length)`.
        kept: true at those that are read; a row without any is read as one padding token.
        padding: the token that fills up what is left.
    """
    if ids.shape[1] == 0:  # all are empty, and not even padded
        ids, kept = F.pad(ids, (0, 1), value=padding), F.pad(kept, (0, 1))
    order = kept.logical_not().int().argsort(dim=1, stable=True)
    lengths = kept.sum(1).clamp(min=1)
    mask = torch.arange(ids.shape[1], device=ids.device) < lengths.unsqueeze(1)
    return Batch(ids.masked_fill(~kept, padding).gather(1, order), mask, lengths)


def enter_rnn(x: Tensor, batch: Batch, config: RNNConfig) -> Sequences:
    """Vectors as the recurrent layers read them: packed if one direction starts at the end.

    From left to right, padding on the right changes nothing that is pooled, and torch's kernel is
    about 1.7 times as fast on padded sequences as on packed ones.
    """
    if not config.bidirectional:
        return x
    return pack_padded_sequence(x, batch.lengths.cpu(), batch_first=True, enforce_sorted=False)


def leave_rnn(output: Sequences, batch: Batch) -> Tensor:
    """The hidden states of a batch, `(sentences, length, features)`."""
    if not isinstance(output, PackedSequence):
        return output.contiguous()
    length = batch.ids.shape[1]
    return pad_packed_sequence(output, batch_first=True, total_length=length)[0]


class Pooling(nn.Module):
    """One vector for each sentence: the max, mean or last hidden state, or a learned average.

    Attention pooling weighs the hidden state `h` by the softmax over tokens of
    `v . tanh(W h + b)`.

    Shape:
        - hidden: `(sentences, length, features)`; output: `(sentences, features)`
    """

    def __init__(self, config: RNNConfig) -> None:
        super().__init__()
        self.kind = config.pooling
        self.bidirectional = config.bidirectional
        if self.kind == "attention":
            size = config.hidden_size * (2 if config.bidirectional else 1)
            self.attention = nn.Linear(size, size)
            self.query = nn.Linear(size, 1, bias=False)

    def forward(self, hidden: Tensor, batch: Batch) -> Tensor:
        """The pooled hidden states; padding counts for nothing."""
        if self.kind == "last":
            return self._last(hidden, batch)
        padding = ~batch.mask.unsqueeze(-1)
        if self.kind == "max":
            lowest = torch.finfo(hidden.dtype).min
            return hidden.masked_fill(padding, lowest).max(dim=1).values
        if self.kind == "mean":
            return hidden.masked_fill(padding, 0).sum(1) / batch.lengths.unsqueeze(-1)
        # As a sum of products: a matrix product with one column rounds by how memory is aligned.
        scores = (torch.tanh(self.attention(hidden)) * self.query.weight).sum(-1, keepdim=True)
        weights = scores.masked_fill(padding, torch.finfo(scores.dtype).min).softmax(dim=1)
        return (weights * hidden).sum(1)

    def _last(self, hidden: Tensor, batch: Batch) -> Tensor:
        rows = torch.arange(hidden.shape[0], device=hidden.device)
        last = hidden[rows, batch.lengths - 1]
        if not self.bidirectional:
            return last
        size = hidden.shape[-1] // 2  # the reverse direction ends at the first token
        return torch.cat([last[:, :size], hidden[:, 0, size:]], dim=-1)


def join_pair(pooled: Tensor, is_pair: bool) -> Tensor:
    """The vector that the classifier reads: `[a; b; |a - b|; a * b]` of a pair (Mou et al. 2016).

    Args:
        pooled: `(sentences, features)`.
        is_pair: whether the sentences are the sides of pairs.

    Returns:
        `(batch, features)`, or `(batch, 4 * features)` for pairs.
    """
    if not is_pair:
        return pooled
    a, b = pooled.chunk(2)
    return torch.cat([a, b, (a - b).abs(), a * b], dim=-1)


def make_rnn(config: RNNConfig) -> nn.LSTM | nn.GRU:
    """The recurrent layers of a plain network."""
    rnn_class = nn.LSTM if config.rnn_type == "lstm" else nn.GRU
    return rnn_class(config.embedding_size, **rnn_options(config))


class RNNOptions(TypedDict):
    """Keyword arguments of torch.nn.LSTM and of the gated layers."""

    hidden_size: int
    num_layers: int
    batch_first: bool
    dropout: float
    bidirectional: bool


def rnn_options(config: RNNConfig) -> RNNOptions:
    """What a configuration says of the recurrent layers."""
    layers = config.num_hidden_layers
    return {
        "hidden_size": config.hidden_size,
        "num_layers": layers,
        "batch_first": True,
        "dropout": config.hidden_dropout if layers > 1 else 0.0,
        "bidirectional": config.bidirectional,
    }


@torch.no_grad()
def initialise(module: nn.Module, embedding_std: float) -> None:
    """Draws a module's weights as torch does, but the token vectors with the given spread.

    Transformers' own rule would zero the biases of the gates and of the recurrent layers. A module
    of which a part was already loaded is left alone.
    """
    if any(getattr(p, "_is_hf_initialized", False) for p in module.parameters(recurse=False)):
        return
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=embedding_std)
        if module.padding_idx is not None:
            module.weight[module.padding_idx].zero_()
    elif hasattr(module, "reset_parameters"):
        cast(nn.Linear, module).reset_parameters()
