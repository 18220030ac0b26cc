"""Starting a child from a parent: all weights that fit, and the rows of shared tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ptu_seq.models.seq2seq import RNNForConditionalGeneration
from ptu_seq.models.seq2seq_config import Seq2SeqConfig
from ptu_seq.models.translation_model import TranslationGenerationMixin

SHARED = (
    *("embedding_size", "hidden_size", "num_encoder_layers", "num_decoder_layers"),
    *("rnn_type", "attention", "input_feeding", "bridge"),
)
"""The fields in which a child is to agree with the parent whose weights it starts from."""

TIGHTNESS = ("none", "decoder", "all")


@torch.no_grad()
def copy_parent(
    parent: RNNForConditionalGeneration,
    child: TranslationGenerationMixin,
    encoder_mapping: Tensor | None = None,
    decoder_mapping: Tensor | None = None,
) -> None:
    """Copies a parent's weights into a child, in place.

    Tokens that the parent does not know keep the child's vectors, drawn at random. A child with one
    table for both vocabularies takes the rows that the decoder's mapping knows, then the others
    that the encoder's does. Where it unties the output layer from token vectors of another size
    than the hidden state's, :math:`V P` of the parent's vectors and projection is its output layer.

    Args:
        parent: the trained network; it is left as it is.
        child: a plain encoder-decoder, or one with units, whose child network is filled.
        encoder_mapping: the parent's id of every token that the child's encoder reads, -1 where it
            has none; None if both share that vocabulary.
        decoder_mapping: the same of the decoder's tokens.

    Raises:
        ValueError: for architectures that differ (it names the fields) or a mapping that does not
            fit.

    Example:
        >>> parent = RNNForConditionalGeneration(Seq2SeqConfig(vocab_size=50))
        >>> child = RNNForConditionalGeneration(Seq2SeqConfig(vocab_size=4, decoder_vocab_size=50))
        >>> copy_parent(parent, child, encoder_mapping=torch.tensor([0, 1, -1, 30]))
        >>> torch.equal(child.encoder.embedding.weight[3], parent.encoder.embedding.weight[30])
        True
    """
    check_shapes(parent.config, child.target_config)
    assert isinstance(child, nn.Module)
    ours, theirs = plain_weights(child), parent.state_dict()
    tables = ("encoder.embedding.weight", "decoder.embedding.weight", "decoder.output.weight")
    output, projection = "decoder.output.weight", "decoder.projection.weight"
    if projection in theirs and projection not in ours:
        theirs[output] = theirs[output] @ theirs[projection]
    for name, weight in ours.items():
        if name not in tables:
            weight.copy_(theirs[name])
    for name in tables:  # the decoder's last: where they are one, its rows win
        side = name.partition(".")[0]
        given = encoder_mapping if side == "encoder" else decoder_mapping
        field = "vocab_size" if side == "encoder" else "decoder_vocab_size"
        sizes = getattr(parent.config, field), getattr(child.target_config, field)
        mapping = checked_mapping(given, *sizes, field).to(ours[name].device)
        known = mapping >= 0
        if name.endswith("embedding.weight"):
            known[child.target_config.pad_token_id] = False  # it stays zero
        ours[name][known] = theirs[name].to(ours[name])[mapping[known]]


def check_shapes(parent: Seq2SeqConfig, child: Seq2SeqConfig) -> None:
    """Raises ValueError, naming every field that differs, unless a child can take the weights."""
    differ = [name for name in SHARED if getattr(parent, name) != getattr(child, name)]
    if not _tables_fit(parent, child):
        differ.append("tie_embeddings")
    if differ:
        fields = "; ".join(
            f"{name} is {getattr(parent, name)!r} in the parent and {getattr(child, name)!r} in "
            "the child"
            for name in differ
        )
        raise ValueError(f"A child cannot start from a parent of another architecture: {fields}.")


def _tables_fit(parent: Seq2SeqConfig, child: Seq2SeqConfig) -> bool:
    """A child may untie what the parent tied, but not the other way round."""
    theirs, ours = (TIGHTNESS.index(config.tie_embeddings) for config in (parent, child))
    return ours <= theirs


def checked_mapping(
    mapping: Tensor | None, parent_size: int, child_size: int, field: str
) -> Tensor:
    """A mapping of a child's tokens to a parent's; each to itself if None.

    Args:
        mapping: the parent's id of each token, -1 where it has none.
        parent_size: tokens of the parent.
        child_size: tokens of the child.
        field: the configuration's name for these sizes.

    Raises:
        ValueError: for a mapping that is missing where the sizes differ, or does not fit.
    """
    side = "decoder" if field.startswith("decoder") else "encoder"
    if mapping is None:
        if parent_size != child_size:
            raise ValueError(
                f"{field} is {parent_size} in the parent and {child_size} in the child: pass "
                f"{side}_mapping, the parent's id of each of the child's tokens."
            )
        return torch.arange(child_size)
    if mapping.dtype not in (torch.int64, torch.int32) or mapping.shape != (child_size,):
        raise ValueError(
            f"{side}_mapping has type {mapping.dtype} and shape {tuple(mapping.shape)}; one "
            f"integer for each of the child's {child_size} tokens expected."
        )
    low, high = int(mapping.min()), int(mapping.max())
    if low < -1 or high >= parent_size:
        raise ValueError(
            f"{side}_mapping holds {low if low < -1 else high}; the parent has {parent_size} "
            f"tokens, so -1 to {parent_size - 1} are accepted."
        )
    return mapping.long()


def parents_ids(ids: Tensor, mapping: Tensor, unk_token_id: int) -> tuple[Tensor, Tensor]:
    """A child's tokens as its parent reads them.

    Args:
        ids: the child's tokens.
        mapping: the parent's id of each, -1 where it has none.
        unk_token_id: the parent's unknown token, which stands for those.

    Returns:
        The parent's tokens, and true where it knows them; both of the shape of `ids`.

    Example:
        >>> parents_ids(torch.tensor([[2, 0]]), torch.tensor([7, 8, -1]), unk_token_id=1)
        (tensor([[1, 7]]), tensor([[False,  True]]))
    """
    mapped = mapping[ids]
    known = mapped >= 0
    return mapped.where(known, mapped.new_tensor(unk_token_id)), known


def plain_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights of the child network by the names that they have in a plain one.

    Args:
        model: a plain encoder-decoder, or one with units.
    """
    own = ("encoder.", "decoder.")
    return {
        name.replace(".target.", "."): weight
        for name, weight in model.state_dict().items()
        if name.startswith(own) and not _of_unit(name)
    }


def _of_unit(name: str) -> bool:
    return any(part == "units" or part.endswith("unit") for part in name.split("."))
