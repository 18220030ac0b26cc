"""Collapsing a trained translator: the same logits from what its pinned units need."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Literal

import torch

from ptu_seq.models.collapsed_seq2seq import (
    CollapsedPTUForConditionalGeneration,
    CollapsedSeq2SeqConfig,
    site_of,
    units_by_place,
)
from ptu_seq.models.pinned import own_fields, pinned_fields
from ptu_seq.models.ptu_seq2seq import PTUForConditionalGeneration
from ptu_seq.models.seq2seq import RNNForConditionalGeneration
from ptu_seq.models.seq2seq_config import Seq2SeqConfig, Tying
from ptu_seq.models.seq2seq_layers import Part
from ptu_seq.models.seq2seq_parts import Side
from ptu_seq.nn import GatedEmbedding
from ptu_seq.source import content_hash

CollapsedTranslator = RNNForConditionalGeneration | CollapsedPTUForConditionalGeneration
Vocabulary = Literal["encoder", "decoder"]


@torch.no_grad()
def collapse_translator(model: PTUForConditionalGeneration) -> CollapsedTranslator:
    """A smaller model with the logits of this one, whose units are pinned as they shall stay.

    Of each part (token vectors, recurrent layer, attention, attentional vector) whose units are
    pinned to "target" the child's layers are kept, of one pinned to "frozen" the parent's, and the
    gates and the other network's layers go: if that is so everywhere, an ordinary
    :class:`RNNForConditionalGeneration` is left, else a
    :class:`CollapsedPTUForConditionalGeneration`. Both stay where something else reads both:

    - at gates, and at units pinned to "adapted";
    - at token vectors pinned to "frozen", as a parent does not know all tokens
      (:func:`fold_embeddings` puts them into one table);
    - where a decoder layer and the encoder layer that it begins from are not pinned to one side,
      since each network's decoder begins from its own encoder's final state (but not with bridge
      "zero"; nor where a GRU's encoder is "frozen", whose whole state is gated). A decoder layer
      pinned to "target" can do so beside gates in the encoder;
    - at what is pinned to "frozen" where the networks' attention or bridges are of two kinds.

    The attention's weights that a model returns are those of the attention that is left.

    Args:
        model: the trained translator, of which the parent reads what the child does (`source_input`
            "target"); `model.pin(...)` or :func:`~ptu_seq.models.collapsed_seq2seq.units_by_place`
            pin its units. It is left as it is.

    Returns:
        The smaller model in eval mode, on the same device. In float32 its logits are the same to
        the bit where both run without gradients, as in inference.

    Raises:
        ValueError: for a model that has been collapsed already, that has no gates, or whose parent
            reads its own activations.

    Example:
        >>> parent = RNNForConditionalGeneration(Seq2SeqConfig(vocab_size=50))
        >>> model = PTUForConditionalGeneration.from_source(parent, source_input="target")
        >>> small = collapse_translator(model.pin("target"))
        >>> type(small).__name__, small.num_parameters() < model.num_parameters() / 2
        ('RNNForConditionalGeneration', True)
    """
    _check(model)
    config = collapsed_config(model)
    sides, whole = config.parts.sides, model.state_dict()
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU
        network: CollapsedTranslator = (
            RNNForConditionalGeneration(model.target_config)
            if config.parts.is_single
            else CollapsedPTUForConditionalGeneration(config)
        )
    network.to(device=model.device, dtype=model.dtype)  # type: ignore[call-arg]
    network.load_state_dict({name: whole[_origin(name, sides)] for name in network.state_dict()})
    if isinstance(network, CollapsedPTUForConditionalGeneration):
        network.config.source_hash = content_hash(network.source.network)
    network.generation_config = copy.deepcopy(model.generation_config)
    return network.eval()


def can_fold(config: Seq2SeqConfig, side: Vocabulary) -> bool:
    """Whether a child's gated token vectors can have a table of their own.

    Not the decoder's, where the output layer shares its table and reads vectors of that size, which
    is not the hidden state's.
    """
    fits = config.embedding_size == config.hidden_size
    return side == "encoder" or config.tie_embeddings == "none" or fits


@torch.no_grad()
def fold_embeddings(
    model: PTUForConditionalGeneration, vocabularies: Collection[Vocabulary]
) -> PTUForConditionalGeneration:
    """A copy whose child has the gated token vectors for its own, with those units pinned to it.

    A token's gated vector depends on nothing but the token, so a table can hold it. The output
    layer keeps the table that it had, even where the decoder's token vectors were the same one. The
    logits are those of the model but for rounding.

    Args:
        model: the translator.
        vocabularies: "encoder", "decoder" or both.

    Raises:
        ValueError: for a table that cannot be (see :func:`can_fold`), and the models that
            :func:`collapse_translator` refuses.
    """
    _check(model)
    child = model.target_config
    for side in vocabularies:
        if not can_fold(child, side):
            raise ValueError(
                f"The {side}'s token vectors have {child.embedding_size} features, as the output "
                f"layer's, which shares their table, and the hidden state {child.hidden_size}; to "
                "be folded they must be equal."
            )
    shape = {**child.shape, "tie_embeddings": _untied(child.tie_embeddings, vocabularies)}
    config = type(model.config)(**own_fields(model.config) | {"target_network": shape})
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU
        folded = type(model)(config)
    folded.to(device=model.device, dtype=model.dtype)  # type: ignore[call-arg]
    folded.load_state_dict(model.state_dict())
    folded.eval()  # before its units are asked: gates are dropped in training
    folded.generation_config = copy.deepcopy(model.generation_config)
    for place, unit in units_by_place(model).items():
        units_by_place(folded)[place].pinned = unit.pinned
    for side in vocabularies:
        network = getattr(folded, side)
        table: GatedEmbedding = network.embedding
        tokens = torch.arange(table.target.num_embeddings, device=model.device)
        ids, known = folded._for_parent(tokens, folded.get_buffer(f"{side}_mapping"))
        parent = getattr(folded.source.network, side)
        table.target.weight.copy_(table(tokens, parent.embedding(ids), known))
        table.unit.pin("target")
    return folded


def collapsed_config(model: PTUForConditionalGeneration) -> CollapsedSeq2SeqConfig:
    """The configuration of a model with the units pinned for good that are pinned now."""
    return CollapsedSeq2SeqConfig(**pinned_fields(model.config, units_by_place(model), site_of))


def _check(model: PTUForConditionalGeneration) -> None:
    """Raises ValueError for a model that has been collapsed, or cannot be."""
    if isinstance(model, CollapsedPTUForConditionalGeneration):
        raise ValueError("The model has been collapsed already; collapse the one that it was.")
    if not isinstance(model, PTUForConditionalGeneration):
        raise ValueError(
            f"A {type(model).__name__} has no gates; accepted is a PTUForConditionalGeneration."
        )
    if model.config.source_input != "target":
        raise ValueError(
            "The model's parent reads its own activations (source_input 'own'); 'target' can be "
            "collapsed."
        )


def _untied(tying: Tying, vocabularies: Collection[Vocabulary]) -> Tying:
    """What can still be tied where these have tables of their own."""
    if "decoder" in vocabularies:
        return "none"
    return "decoder" if "encoder" in vocabularies and tying == "all" else tying


def _origin(name: str, sides: Mapping[Part, Side | None]) -> str:
    """Where the whole model has a weight of the collapsed one."""
    side = sides.get(_part_of(name))
    if side == "parent":
        return f"source.network.{name}"
    module, _, weight = name.rpartition(".")
    if side == "child" and module.startswith(
        ("encoder.embedding", "encoder.layers", "decoder.embedding", "decoder.layers")
    ):
        return f"{module}.target.{weight}"
    return name


def _part_of(name: str) -> Part:
    """The part that a weight of an encoder-decoder belongs to; "" for those of none."""
    network, module, *rest = [*name.split("."), ""]
    if network not in ("encoder", "decoder"):
        return ""
    if module == "embedding":
        return f"{network}.embedding"
    if module in ("layers", "bridge"):
        return f"{network}.layer{next(word for word in rest if word.isdigit())}"
    return {"attention": "attention", "combine": "output"}.get(module, "")
