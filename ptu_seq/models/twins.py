"""What a frozen parent lends its child at each place, by what the parent's layers read there.

Both are ways for twins to "read the same input". On its own the parent reads the tokens and then
its own activations, up to the attentional vector. Of a language it has never seen it makes little;
so a parent can instead read, layer by layer, what the child's layer in its place reads: then every
frozen layer does on the child's representations what it was trained to do on its own, and the unit
chooses for each neuron between the parent's layer and the child's. Gradients pass through the
frozen layers, whose weights stay as they are.

With all units pinned, both are the same network: "target" leaves the parent out, and under "frozen"
the child's activations are the parent's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ptu_seq.models.decoding_state import DecoderState, DecodingState
from ptu_seq.models.seq2seq_config import SourceInput
from ptu_seq.models.seq2seq_layers import recur
from ptu_seq.nn.layout import Sequences
from ptu_seq.nn.loop import State

if TYPE_CHECKING:
    from ptu_seq.models.decoder import Decoded, Decoder
    from ptu_seq.models.encoder import Encoded, Encoder
    from ptu_seq.models.encoding import Batch


class EncoderTwin(ABC):
    """A parent's encoder beside its child's.

    Attributes:
        embedding: the parent's vectors of the tokens, `(sentences, length, embedding_size)`.
    """

    embedding: Tensor

    @abstractmethod
    def hidden(self, layer: int, x: Sequences) -> Sequences:
        """The output of a layer, where the child's reads `x`."""

    @abstractmethod
    def lent(self, encoded: Encoded) -> Encoded:
        """What the parent's decoder begins with, where the child's encoder has made `encoded`."""


class OwnEncoder(EncoderTwin):
    """The parent's encoder reads its own tokens' vectors.

    Args:
        encoder: the parent's.
        batch: the sentences in the parent's tokens.
    """

    def __init__(self, encoder: Encoder, batch: Batch) -> None:
        self.encoded = encoder(batch)
        self.embedding = self.encoded.embedding

    def hidden(self, layer: int, x: Sequences) -> Sequences:
        """See :class:`EncoderTwin`."""
        return self.encoded.hidden[layer]

    def lent(self, encoded: Encoded) -> Encoded:
        """See :class:`EncoderTwin`."""
        return self.encoded


class ChildsEncoder(EncoderTwin):
    """Each layer of the parent's encoder reads what the child's layer in its place reads.

    Args:
        encoder: the parent's.
        batch: the sentences in the parent's tokens.
    """

    def __init__(self, encoder: Encoder, batch: Batch) -> None:
        self.encoder = encoder
        self.embedding = encoder.embedding(batch.ids)
        self.finals: dict[int, State] = {}

    def hidden(self, layer: int, x: Sequences) -> Sequences:
        """See :class:`EncoderTwin`."""
        with _kept_for_backward(self.encoder.layers[layer]) as frozen:
            output, _, final = recur(frozen, x, None, None, None)
        self.finals[layer] = final
        return output

    def lent(self, encoded: Encoded) -> Encoded:
        """See :class:`EncoderTwin`."""
        # A layer that was not asked for is one network's alone: its state is both's, or not read.
        return encoded._replace(
            finals=[self.finals.get(i, own) for i, own in enumerate(encoded.finals)]
        )


class DecoderTwin(ABC):
    """A parent's decoder beside its child's, while some tokens are read.

    Attributes:
        embedding: the parent's vectors of the tokens, `(rows, length, embedding_size)`.
        state: the parent's state after the tokens that it has read.
    """

    embedding: Tensor
    state: DecodingState

    @abstractmethod
    def at(self, step: int) -> DecoderTwin:
        """The twin of the step that is read now, where they are read one after another."""

    @abstractmethod
    def hidden(self, layer: int, x: Tensor) -> Tensor:
        """The output of a layer, where the child's reads `x`."""

    @abstractmethod
    def context(self, query: Tensor) -> Tensor:
        """The attention's context, where the child's has this query."""

    @abstractmethod
    def vector(self, read: Tensor) -> Tensor:
        """The attentional vector, where the child's is made from `read`, context and hidden."""


class OwnDecoder(DecoderTwin):
    """The parent's decoder reads its own tokens' vectors and attends to its own encoder.

    Args:
        decoder: the parent's.
        ids: the parent's tokens.
        state: the parent's state before them.
    """

    def __init__(self, decoder: Decoder, ids: Tensor, state: DecodingState) -> None:
        self.decoded, self.state = decoder(ids, state)
        self.embedding = self.decoded.embedding

    def at(self, step: int) -> DecoderTwin:
        """See :class:`DecoderTwin`."""
        return _OwnStep(self.decoded.at(step))

    def hidden(self, layer: int, x: Tensor) -> Tensor:
        """See :class:`DecoderTwin`."""
        return self.decoded.hidden[layer]

    def context(self, query: Tensor) -> Tensor:
        """See :class:`DecoderTwin`."""
        return self.decoded.context

    def vector(self, read: Tensor) -> Tensor:
        """See :class:`DecoderTwin`."""
        return self.decoded.vector


class _OwnStep(OwnDecoder):
    """One step of what a parent's decoder has read by itself."""

    def __init__(self, decoded: Decoded) -> None:
        self.decoded = decoded


class ChildsDecoder(DecoderTwin):
    """Each part of the parent's decoder reads what the child's in its place reads.

    Args:
        decoder: the parent's.
        ids: the parent's tokens.
        state: the parent's state before them; its memory is of the child's encoder.
    """

    def __init__(self, decoder: Decoder, ids: Tensor, state: DecodingState) -> None:
        self.decoder = decoder
        self.embedding = decoder.embedding(ids)
        self.state = replace(state, length=state.length + ids.shape[1])

    def at(self, step: int) -> DecoderTwin:
        """See :class:`DecoderTwin`."""
        return self

    def hidden(self, layer: int, x: Tensor) -> Tensor:
        """See :class:`DecoderTwin`."""
        before = self.state.recurrent.layers
        with _kept_for_backward(self.decoder.layers[layer]) as frozen:
            output, after, _ = recur(frozen, x, before[layer], None, None)
        layers = (*before[:layer], after, *before[layer + 1 :])
        self.state = replace(self.state, recurrent=DecoderState(layers))
        assert isinstance(output, Tensor)
        return output

    def context(self, query: Tensor) -> Tensor:
        """See :class:`DecoderTwin`."""
        context, _ = self.decoder.attention(query, self.state.memory)
        return context

    def vector(self, read: Tensor) -> Tensor:
        """See :class:`DecoderTwin`."""
        return torch.tanh(self.decoder.combine(read))


@contextmanager
def _kept_for_backward(layer: nn.Module) -> Iterator[nn.Module]:
    """A frozen recurrent layer while gradients are to pass through it.

    On a GPU, cuDNN keeps what its backward pass needs in training mode alone. A layer by itself has
    no dropout, so the mode changes no number.
    """
    was, layer.training = layer.training, torch.is_grad_enabled()
    try:
        yield layer
    finally:
        layer.training = was


ENCODER_TWINS: dict[SourceInput, type[OwnEncoder | ChildsEncoder]] = {
    "own": OwnEncoder,
    "target": ChildsEncoder,
}
DECODER_TWINS: dict[SourceInput, type[OwnDecoder | ChildsDecoder]] = {
    "own": OwnDecoder,
    "target": ChildsDecoder,
}
