"""The layers of encoder and decoder, plain or gated: made and called in one way."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ptu_seq.models.seq2seq_config import PTUSeq2SeqConfig, Seq2SeqConfig, Seq2SeqSite
from ptu_seq.nn import GatedEmbedding, GatedGRU, GatedLSTM, GatedRNN
from ptu_seq.nn.fused_rnn import FusedGRU, FusedLSTM
from ptu_seq.nn.gated import OnGates
from ptu_seq.nn.layout import Sequences
from ptu_seq.nn.loop import State
from ptu_seq.nn.packed import train_fused
from ptu_seq.unit import PTU, PTUGates

Part = str
"""A part of a network that units mix: "encoder.embedding", "encoder.layer0", ...,
"decoder.embedding", "decoder.layer0", ..., "attention" or "output"."""


class Layers:
    """Makes the layers of a plain network."""

    def __init__(self, config: Seq2SeqConfig) -> None:
        self.config = config

    def embedding(self, part: Part, vocab_size: int) -> nn.Module:
        """The vectors of tokens, of "encoder.embedding" or "decoder.embedding"."""
        config = self.config
        return nn.Embedding(vocab_size, config.embedding_size, padding_idx=config.pad_token_id)

    def recurrent(self, part: Part, input_size: int, bidirectional: bool = False) -> nn.Module:
        """One recurrent layer, such as "encoder.layer0".

        The output of two directions is as wide as that of one.
        """
        rnn_class = FusedLSTM if self.config.rnn_type == "lstm" else FusedGRU
        hidden_size = self.config.hidden_size // (2 if bidirectional else 1)
        return rnn_class(input_size, hidden_size, bidirectional=bidirectional)

    def unit(self, site: Seq2SeqSite) -> PTU | None:
        """The unit on a vector of `hidden_size` features: none."""
        return None


class GatedLayers(Layers):
    """Makes the layers of a child beside a parent: each with its units."""

    def __init__(self, config: PTUSeq2SeqConfig) -> None:
        super().__init__(config.target_config)
        self.source = config.source_config
        self.level = config.level
        self.options = config.unit_options

    def embedding(self, part: Part, vocab_size: int) -> nn.Module:
        """The vectors of tokens, gated."""
        return GatedEmbedding(
            vocab_size,
            self.config.embedding_size,
            padding_idx=self.config.pad_token_id,
            source_embedding_dim=self.source.embedding_size,
            **self.options("embedding"),
        )

    def recurrent(self, part: Part, input_size: int, bidirectional: bool = False) -> nn.Module:
        """One recurrent layer, with a unit for each direction."""
        gated_class = GatedLSTM if self.config.rnn_type == "lstm" else GatedGRU
        directions = 2 if bidirectional else 1
        gated = gated_class(
            input_size,
            self.config.hidden_size // directions,
            bidirectional=bidirectional,
            source_hidden_size=self.source.hidden_size // directions,
            level=self.level,
            **self.options("encoder" if bidirectional else "decoder"),
        )
        train_fused(gated.target)
        return gated

    def unit(self, site: Seq2SeqSite) -> PTU | None:
        """The unit on a vector of `hidden_size` features."""
        return PTU(self.source.hidden_size, self.config.hidden_size, **self.options(site))


def is_plain(layer: nn.Module) -> bool:
    """Whether a recurrent layer reads nothing of a parent."""
    return not isinstance(layer, GatedRNN)


def embed(
    embedding: nn.Module,
    ids: Tensor,
    source: Tensor | None,
    known: Tensor | None,
    on_gates: OnGates | None,
) -> Tensor:
    """The vectors of tokens; beside a parent gated by its vectors, where it knows the token."""
    if not isinstance(embedding, GatedEmbedding):
        return embedding(ids)
    assert source is not None
    return embedding(ids, source, known, on_gates=on_gates)


def recur(
    layer: nn.Module,
    x: Sequences,
    state: State | None,
    source: Sequences | None,
    on_gates: OnGates | None,
) -> tuple[Sequences, State, State]:
    """Runs one recurrent layer, beside a parent gated by the output of its layer.

    Args:
        layer: the layer.
        x: its input, `(batch, length, features)` or packed.
        state: its first state; zeros if None.
        source: the output of the parent's layer, in the layout of `x`.
        on_gates: is called with the place of each unit in the layer and its gates.

    Returns:
        The output; the state from which the layer continues; and the state after the last step as
        the network shows it, with the gated `h`.
    """
    x, source = _time_major(x), None if source is None else _time_major(source)
    output: Sequences
    if isinstance(layer, GatedRNN):
        assert source is not None
        report = on_gates if isinstance(x, PackedSequence) else _batch_first(on_gates)
        output, twin = cast(GatedLSTM, layer).unroll(
            x, cast(tuple[Tensor, Tensor] | None, state), [source], on_gates=report
        )
        carried, last = twin.target, (cast(Tensor, twin.hidden), *twin.target[1:])
    else:
        hx = state[0] if state is not None and len(state) == 1 else state  # a GRU's is a tensor
        output, final = layer(x, hx)
        carried = last = (final,) if isinstance(final, Tensor) else final
    return output.transpose(0, 1) if isinstance(output, Tensor) else output, carried, last


def _time_major(x: Sequences) -> Sequences:
    """Contiguous, as torch's kernels else choose their algorithms by whether there are gradients.

    A frozen parent has none, and is to equal the network it was, to the bit.
    """
    return x.transpose(0, 1).contiguous() if isinstance(x, Tensor) else x


def _batch_first(on_gates: OnGates | None) -> OnGates | None:
    if on_gates is None:
        return None
    return lambda place, gates: on_gates(place, PTUGates(*(g.transpose(0, 1) for g in gates)))


def gate(
    unit: PTU | None, source: Tensor | None, target: Tensor, site: str, on_gates: OnGates | None
) -> Tensor:
    """The gated vector, where there is a unit."""
    if unit is None:
        return target
    assert source is not None
    if on_gates is None:
        return unit(source, target)
    h, gates = unit(source, target, return_gates=True)
    on_gates(site, gates)
    return h


def named(on_gates: OnGates | None, name: str, *, with_direction: bool = False) -> OnGates | None:
    """`on_gates` with the place in the model instead of that in the layer."""
    if on_gates is None:
        return None

    def report(place: str, gates: PTUGates) -> None:
        direction = place.rpartition(".")[2]
        on_gates(f"{name}.{direction}" if with_direction else name, gates)

    return report
