"""The bridge from the encoder's final state to the decoder's first."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ptu_seq.models.seq2seq_config import Seq2SeqConfig
from ptu_seq.nn.loop import State


class Bridge(nn.Module):
    r"""The first state of every decoder layer.

    Decoder layer `i` begins from what encoder layer `i` (the last, where there are fewer) ended
    with, both directions side by side: through :math:`\tanh(W s + b)` of its own ("linear"), as it
    is ("copy"), or from zero. An LSTM's cell states are bridged like its hidden states.

    Args:
        config: the network's shape.

    Shape:
        - finals: one an encoder layer, `(h,)` or `(h, c)` of `(2, sentences, hidden_size / 2)`
        - output: one a decoder layer, `(h,)` or `(h, c)` of `(1, sentences, hidden_size)`
    """

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.kind = config.bridge
        self.num_layers = config.num_decoder_layers
        size, parts = config.hidden_size, 2 if config.rnn_type == "lstm" else 1
        if self.kind == "linear":
            self.layers = nn.ModuleList(
                nn.ModuleList(nn.Linear(size, size) for _ in range(parts))
                for _ in range(self.num_layers)
            )

    def forward(self, finals: list[State]) -> tuple[State, ...]:
        """The decoder's first states."""
        ended = [finals[min(i, len(finals) - 1)] for i in range(self.num_layers)]
        joined = [tuple(map(_join_directions, state)) for state in ended]
        if self.kind == "copy":
            return tuple(joined)
        if self.kind == "zero":
            return tuple(tuple(map(torch.zeros_like, state)) for state in joined)
        return tuple(
            tuple(
                torch.tanh(linear(part))
                for linear, part in zip(cast(nn.ModuleList, linears), state, strict=True)
            )
            for linears, state in zip(self.layers, joined, strict=True)
        )


def _join_directions(part: Tensor) -> Tensor:
    return torch.cat(tuple(part), dim=-1).unsqueeze(0)
