"""A translator as layers from the source's words to the target's, for methods that use them.

A classifier is new at its output: inputs are alike in source and target, labels are not. So what is
general is near the input, and frozen layers begin there. A child translator is new at its input: it
reads another language and writes the parent's. What the parent's layers know is the more general
the nearer they are to the target's words. So methods that go through a classifier from its labels
downwards go through a translator from the source's words to the target's, and the reverse.
"""

from __future__ import annotations

from typing import cast

from torch import nn
from transformers import PreTrainedModel

from ptu_seq.methods.layers import Layer
from ptu_seq.methods.translation.base import target_embeddings
from ptu_seq.models import RNNForConditionalGeneration


def layers(model: PreTrainedModel) -> list[Layer]:
    """A translator's layers, from the source's words to the target's; every weight is in one.

    A bridge to a decoder layer's first state belongs to that layer, the dropout before a layer to
    it, too. The target's words are one layer: what the decoder reads and what the output layer
    scores, with a projection between. A table that both languages share is of the source's words,
    as it holds the new ones.

    Args:
        model: a plain encoder-decoder.

    Example:
        >>> from ptu_seq.models import Seq2SeqConfig
        >>> config = Seq2SeqConfig(vocab_size=50, num_encoder_layers=2)
        >>> [layer.name for layer in layers(RNNForConditionalGeneration(config))]
        ['source words', 'encoder.0', 'encoder.1', 'decoder.0', 'attention', 'target words']
    """
    model = cast(RNNForConditionalGeneration, model)
    encoder, decoder = model.encoder, model.decoder
    source = [*encoder.embedding.parameters()]
    placed = {id(table) for table in source}
    target = [table for table in target_embeddings(model) if id(table) not in placed]
    return [
        Layer("source words", source, [encoder.embedding_dropout]),
        *_recurrent("encoder", encoder.layers, encoder.layer_dropouts),
        *_bridged(decoder.bridge, _recurrent("decoder", decoder.layers, decoder.layer_dropouts)),
        Layer("attention", [*decoder.attention.parameters(), *decoder.combine.parameters()]),
        Layer(
            "target words",
            [*target, *decoder.projection.parameters()],
            [decoder.embedding_dropout, decoder.dropout],
        ),
    ]


def _recurrent(side: str, stack: nn.ModuleList, dropouts: nn.ModuleList) -> list[Layer]:
    # A recurrent layer drops nothing itself, and a GPU wants it in training mode for gradients.
    before: list[list[nn.Module]] = [[], *([dropout] for dropout in dropouts)]
    return [
        Layer(f"{side}.{i}", [*layer.parameters()], modules)
        for i, (layer, modules) in enumerate(zip(stack, before, strict=True))
    ]


def _bridged(bridge: nn.Module, decoder: list[Layer]) -> list[Layer]:
    """The decoder's layers, each with the linear layers to its first state."""
    linears = getattr(bridge, "layers", [()] * len(decoder))
    return [
        Layer(
            layer.name,
            [*(weight for linear in own for weight in linear.parameters()), *layer.parameters],
            layer.modules,
        )
        for own, layer in zip(linears, decoder, strict=True)
    ]
