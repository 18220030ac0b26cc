"""What a transfer method of translation is: what a child takes from its parent, what it trains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor, nn
from transformers import PreTrainedModel

from ptu_seq.methods.base import Method, Setting, split_by_rate
from ptu_seq.models import RNNForConditionalGeneration, Seq2SeqConfig
from ptu_seq.nn import GatedEmbedding

#: Fields of `Seq2SeqConfig` that a setting may have under the same name.
REGULARISERS = (
    "embedding_dropout",
    "hidden_dropout",
    "word_dropout",
    "variational_dropout",
    "label_smoothing",
)


#: Learning rates that a setting may have for the tables of token vectors, where they differ from
#: "learning_rate". A child has most to learn of its source language's words, and least of the words
#: that it shares with its parent.
TABLE_RATES = ("source_table_learning_rate", "target_table_learning_rate")


@dataclass(frozen=True)
class TranslationTask:
    """What a method is told of the child's pair of languages.

    Args:
        vocab_size: tokens that the child's encoder reads.
        decoder_vocab_size: tokens that its decoder writes.
        encoder_mapping: the parent's id of each of the child's source tokens, -1 where the parent
            does not know it, `(vocab_size,)`; None where both read the same vocabulary.
        decoder_mapping: the same of target tokens, `(decoder_vocab_size,)`.
        network: further fields of :class:`ptu_seq.models.Seq2SeqConfig` in which children differ
            from their parent, whatever the method.
        unit_options: fields of :class:`ptu_seq.models.PTUSeq2SeqConfig` that hold for all units.
    """

    vocab_size: int
    decoder_vocab_size: int
    encoder_mapping: Tensor | None = None
    decoder_mapping: Tensor | None = None
    network: Mapping[str, Any] = field(default_factory=dict)
    unit_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unknown_target_tokens(self) -> Tensor | None:
        """True at the target tokens that the parent does not know; None if it knows them all."""
        if self.decoder_mapping is None:
            return None
        unknown = self.decoder_mapping < 0
        return unknown if bool(unknown.any()) else None


class TranslationMethod(Method[RNNForConditionalGeneration, TranslationTask]):
    """One way to learn a child's pair of languages given a trained parent.

    Its settings may have any of `REGULARISERS` and of `TABLE_RATES`.
    """

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """What the optimiser trains, and at which learning rates."""
        return split_by_rate(model, table_rates(model, setting), setting["learning_rate"])


def child_fields(task: TranslationTask, setting: Setting) -> dict[str, Any]:
    """Fields of `Seq2SeqConfig` in which a child differs from its parent."""
    regularisers = {name: setting[name] for name in REGULARISERS if name in setting}
    sizes = {"vocab_size": task.vocab_size, "decoder_vocab_size": task.decoder_vocab_size}
    return {**task.network, **regularisers, **sizes}


def new_child(
    parent: RNNForConditionalGeneration, task: TranslationTask, setting: Setting, **changes: Any
) -> RNNForConditionalGeneration:
    """A network of the parent's shape for the child's vocabularies, with new weights."""
    shape = {**parent.config.shape, **child_fields(task, setting), **changes}
    return RNNForConditionalGeneration(Seq2SeqConfig(**shape))


def with_own_source_embedding(parent: RNNForConditionalGeneration) -> dict[str, Any]:
    """Fields that give a child source embeddings apart from the target's, which stay frozen."""
    return {"tie_embeddings": "decoder"} if parent.config.tie_embeddings == "all" else {}


def freeze_target_embeddings(model: RNNForConditionalGeneration, task: TranslationTask) -> None:
    """Freezes the target's embeddings and output layer, but for tokens that the parent lacks."""
    freeze_known_tokens(target_embeddings(model), task)


def freeze_known_tokens(tables: Iterable[nn.Parameter], task: TranslationTask) -> None:
    """Freezes weights that have a row for each target token, but for those the parent lacks."""
    unknown = task.unknown_target_tokens
    for parameter in tables:
        if unknown is None:
            parameter.requires_grad_(False)
        else:
            _train_only(parameter, unknown)


def target_embeddings(model: PreTrainedModel) -> list[nn.Parameter]:
    """The weights that have a row for each target token, tied ones once."""
    decoder = cast(RNNForConditionalGeneration, model).decoder
    embedding = decoder.embedding
    own = embedding.target if isinstance(embedding, GatedEmbedding) else embedding
    rows = [*own.parameters(), *decoder.output.parameters()]
    return list({id(parameter): parameter for parameter in rows}.values())


def table_rates(model: PreTrainedModel, setting: Setting) -> list[tuple[list[nn.Parameter], float]]:
    """The tables of token vectors that have a learning rate of their own, each with it.

    A table that both languages share has none: it holds the new words and the known ones.
    """
    source, target = list(model.get_input_embeddings().parameters()), target_embeddings(model)
    if {id(parameter) for parameter in source} & {id(parameter) for parameter in target}:
        return []
    return [
        (table, setting[name])
        for name, table in zip(TABLE_RATES, (source, target), strict=True)
        if name in setting
    ]


def without_decay(
    model: RNNForConditionalGeneration, groups: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The groups with the target's embeddings apart, in which frozen rows must not decay."""
    apart = {id(parameter) for parameter in target_embeddings(model)}
    divided = []
    for group in groups:
        inside = [p for p in group["params"] if id(p) in apart]
        outside = [p for p in group["params"] if id(p) not in apart]
        divided += [{**group, "params": outside}] if outside else []
        divided += [{**group, "params": inside, "weight_decay": 0.0}] if inside else []
    return divided


def _train_only(parameter: nn.Parameter, rows: Tensor) -> None:
    # Where gradients are 0 from the first step on, Adam leaves a row as it is, to the bit.
    def mask(gradient: Tensor) -> Tensor:
        return gradient * rows.to(gradient).view(-1, *[1] * (gradient.dim() - 1))

    parameter.register_hook(mask)
