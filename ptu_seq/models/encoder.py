"""The encoder: stacked bidirectional recurrent layers over packed sentences."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from ptu_seq.models.dropout import EmbeddingDropout, SequenceDropout
from ptu_seq.models.encoding import Batch, leave_rnn
from ptu_seq.models.seq2seq_config import Seq2SeqConfig
from ptu_seq.models.seq2seq_layers import Layers, embed, is_plain, named, recur
from ptu_seq.models.token_gates import padded
from ptu_seq.models.twins import EncoderTwin
from ptu_seq.nn.gated import OnGates
from ptu_seq.nn.layout import Sequences
from ptu_seq.nn.loop import State


class Encoded(NamedTuple):
    """Every activation of an encoder: what the decoder reads, and what a parent lends a child.

    Shape:
        - embedding: `(sentences, length, embedding_size)`
        - hidden: one a layer, packed; output: the last, `(sentences, length, hidden_size)`
        - finals: one a layer, `(h,)` or `(h, c)` of `(2, sentences, hidden_size / 2)`
    """

    embedding: Tensor
    hidden: list[Sequences]
    output: Tensor
    finals: list[State]


class Encoder(nn.Module):
    """Token vectors and bidirectional recurrent layers, plain or gated by those of a parent.

    Args:
        config: the network's shape.
        layers: makes its layers.
    """

    main_input_name = "input_ids"  # transformers' generate asks for it

    def __init__(self, config: Seq2SeqConfig, layers: Layers) -> None:
        super().__init__()
        self.embedding = layers.embedding("encoder.embedding", config.vocab_size)
        sizes = [config.embedding_size] + [config.hidden_size] * (config.num_encoder_layers - 1)
        self.layers = nn.ModuleList(
            layers.recurrent(f"encoder.layer{i}", size, bidirectional=True)
            for i, size in enumerate(sizes)
        )
        self.embedding_dropout = EmbeddingDropout(
            config.word_dropout, config.embedding_dropout, config.variational_dropout
        )
        self.layer_dropouts = nn.ModuleList(
            SequenceDropout(config.hidden_dropout, config.variational_dropout) for _ in sizes[1:]
        )

    def forward(
        self,
        batch: Batch,
        parent: EncoderTwin | None = None,
        known: Tensor | None = None,
        on_gates: OnGates | None = None,
    ) -> Encoded:
        """Reads a batch of sentences.

        Args:
            batch: the sentences.
            parent: lends the parent's activations.
            known: false at tokens that the parent does not know.
            on_gates: is called with each unit's place and its gates, `(batch, length, features)`.
        """
        embedding = embed(
            self.embedding,
            batch.ids,
            None if parent is None else parent.embedding,
            known,
            named(on_gates, "encoder.embedding"),
        )
        x: Sequences = pack_padded_sequence(
            self.embedding_dropout(embedding),
            batch.lengths.cpu(),
            batch_first=True,
            enforce_sorted=False,
        )
        hidden, finals = [], []
        for i, layer in enumerate(self.layers):
            if i > 0:
                x = self.layer_dropouts[i - 1](x)
            beside = None if parent is None or is_plain(layer) else parent.hidden(i, x)
            place = named(on_gates, f"encoder.layer{i}", with_direction=True)
            report = padded(place, x, batch.ids.shape[1])
            x, _, final = recur(layer, x, None, beside, report)
            hidden.append(x)
            finals.append(final)
        return Encoded(embedding, hidden, leave_rnn(x, batch).contiguous(), finals)
