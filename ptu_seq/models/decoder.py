r"""The decoder: recurrent layers, attention, and the attentional vector that names the next token.

.. math::
    q_i &= \mathrm{RNN}(e_i, q_{i-1}) \qquad (\text{with input feeding } [e_i; a_{i-1}]) \\
    c_i &= \mathrm{attention}(q_i) \\
    a_i &= \tanh(W [c_i; q_i])

One call reads any number of tokens: a whole target in training, one in decoding.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ptu_seq.models.attention import make_attention
from ptu_seq.models.bridge import Bridge
from ptu_seq.models.decoding_state import DecoderState, DecodingState
from ptu_seq.models.dropout import EmbeddingDropout, SequenceDropout
from ptu_seq.models.encoder import Encoded
from ptu_seq.models.seq2seq_config import Seq2SeqConfig
from ptu_seq.models.seq2seq_layers import Layers, embed, gate, is_plain, named, recur
from ptu_seq.models.twins import DecoderTwin
from ptu_seq.nn.gated import OnGates
from ptu_seq.nn.loop import State


class Decoded(NamedTuple):
    """Every activation of a decoder: what is read out, and what a parent lends a child.

    Shape:
        - embedding: `(rows, length, embedding_size)`
        - hidden: one a layer, `(rows, length, hidden_size)`
        - context, vector: `(rows, length, hidden_size)`
        - weights: the attention's, `(rows, length, source length)`
    """

    embedding: Tensor
    hidden: list[Tensor]
    context: Tensor
    vector: Tensor
    weights: Tensor

    def at(self, step: int) -> Decoded:
        """The activations of one step, `(rows, 1, ...)`."""
        now = slice(step, step + 1)
        return Decoded(
            self.embedding[:, now],
            [h[:, now] for h in self.hidden],
            *(x[:, now] for x in (self.context, self.vector, self.weights)),
        )

    @classmethod
    def join(cls, steps: list[Decoded]) -> Decoded:
        """The inverse of :meth:`at`."""
        embedding, hidden, *others = zip(*steps, strict=True)
        return cls(
            torch.cat(embedding, dim=1),
            [torch.cat(layer, dim=1) for layer in zip(*hidden, strict=True)],
            *(torch.cat(x, dim=1) for x in others),
        )


class Decoder(nn.Module):
    """Token vectors, recurrent layers and attention, plain or gated by those of a parent.

    Args:
        config: the network's shape.
        layers: makes its layers.
    """

    def __init__(self, config: Seq2SeqConfig, layers: Layers) -> None:
        super().__init__()
        size = config.hidden_size
        first = config.embedding_size + (size if config.input_feeding else 0)
        self.input_feeding = config.input_feeding
        self.embedding = layers.embedding("decoder.embedding", config.target_vocab_size)
        self.bridge = Bridge(config)
        self.layers = nn.ModuleList(
            layers.recurrent(f"decoder.layer{i}", input_size)
            for i, input_size in enumerate((first, *[size] * (config.num_decoder_layers - 1)))
        )
        self.attention = make_attention(config.attention, size, size)
        self.attention_unit = layers.unit("attention")
        self.combine = nn.Linear(2 * size, size, bias=False)
        self.output_unit = layers.unit("output")
        tied = config.tie_embeddings != "none"
        read = config.embedding_size if tied else size
        self.projection = nn.Identity() if read == size else nn.Linear(size, read, bias=False)
        self.output = nn.Linear(read, config.target_vocab_size, bias=False)
        self.embedding_dropout = EmbeddingDropout(
            config.word_dropout, config.embedding_dropout, config.variational_dropout
        )
        self.layer_dropouts = nn.ModuleList(
            SequenceDropout(config.hidden_dropout, config.variational_dropout)
            for _ in self.layers[1:]
        )
        self.dropout = SequenceDropout(config.hidden_dropout, config.variational_dropout)

    def begin(self, encoded: Encoded, mask: Tensor) -> DecodingState:
        """The state before the first token: one row a sentence."""
        layers = self.bridge(encoded.finals)
        fed = torch.zeros_like(layers[0][0]) if self.input_feeding else None
        memory = self.attention.remember(encoded.output, mask)
        return DecodingState(memory, DecoderState(layers, fed))

    def forward(
        self,
        ids: Tensor,
        state: DecodingState,
        parent: DecoderTwin | None = None,
        known: Tensor | None = None,
        on_gates: OnGates | None = None,
    ) -> tuple[Decoded, DecodingState]:
        """Reads tokens.

        Args:
            ids: the tokens, `(rows, length)`.
            state: the state after those before.
            parent: lends the parent's activations on the same tokens.
            known: false at tokens that the parent does not know.
            on_gates: is called with each unit's place and its gates, `(rows, length, features)`;
                with input feeding once for every step.

        Returns:
            The activations at every token and the state after the last.
        """
        lent = None if parent is None else parent.embedding
        embedding = embed(self.embedding, ids, lent, known, named(on_gates, "decoder.embedding"))
        x = self.embedding_dropout(embedding)
        masks: list[Tensor] = []
        if self.training and self.layer_dropouts:
            # Drawn before the loop, so that variational dropout drops the same features each step.
            ones = x.new_ones(*x.shape[:2], self.combine.out_features)
            masks = [dropout(ones) for dropout in self.layer_dropouts]
        if not self.input_feeding:
            decoded, recurrent = self._advance(x, masks, state, parent, on_gates)
        else:
            steps, recurrent = [], state.recurrent
            for i in range(x.shape[1]):
                now = [mask[:, i : i + 1] for mask in masks]
                beside = None if parent is None else parent.at(i)
                before = replace(state, recurrent=recurrent)
                step, recurrent = self._advance(x[:, i : i + 1], now, before, beside, on_gates)
                steps.append(step)
            decoded = Decoded.join(steps)
        read = state.length + ids.shape[1]
        return decoded._replace(embedding=embedding), replace(
            state, recurrent=recurrent, length=read
        )

    def logits(self, vector: Tensor) -> Tensor:
        """Scores of the next token from attentional vectors, `(..., decoder_vocab_size)`."""
        return self.output(self.projection(self.dropout(vector)))

    def _advance(
        self,
        x: Tensor,
        masks: list[Tensor],
        state: DecodingState,
        parent: DecoderTwin | None,
        on_gates: OnGates | None,
    ) -> tuple[Decoded, DecoderState]:
        """Both the single step and the unroll: reads vectors that do not depend on one another."""
        embedding, fed = x, state.recurrent.fed
        if fed is not None:
            x = torch.cat([x, fed.transpose(0, 1)], dim=-1)
        hidden: list[Tensor] = []
        carried: list[State] = []
        for i, layer in enumerate(self.layers):
            if i > 0 and masks:
                x = x * masks[i - 1]
            lent = None if parent is None or is_plain(layer) else parent.hidden(i, x)
            report = named(on_gates, f"decoder.layer{i}")
            output, after, _ = recur(layer, x, state.recurrent.layers[i], lent, report)
            assert isinstance(output, Tensor)
            x = output
            hidden.append(x)
            carried.append(after)

        context, weights = self.attention(x, state.memory)
        unit = self.attention_unit
        lent = None if parent is None or unit is None else parent.context(x)
        context = gate(unit, lent, context, "attention", on_gates)
        read = torch.cat([context, x], dim=-1)
        vector = torch.tanh(self.combine(read))
        unit = self.output_unit
        lent = None if parent is None or unit is None else parent.vector(read)
        vector = gate(unit, lent, vector, "output", on_gates)
        if fed is not None:
            fed = vector.transpose(0, 1)
        return Decoded(embedding, hidden, context, vector, weights), DecoderState(
            tuple(carried), fed
        )
