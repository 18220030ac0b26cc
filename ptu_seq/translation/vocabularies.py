"""Which vocabulary a parent and its children read and write, and how one maps to the other.

On a side where parent and child have the same language (the target's, as a rule) the child keeps
the parent's vocabulary. On the other side there are three ways:

- "joint": one vocabulary is trained on the text of the parent and all children before the parent
  is; every network reads and writes the same tokens.
- "match": the child trains a vocabulary on its own pairs; pieces that the parent has too keep the
  parent's vectors, all others start at random, and the frozen parent reads them as unknown.
- "random": as "match", but every piece is given a random one of the parent's (Zoph et al. 2016),
  whose vector it starts from and as which the frozen parent reads it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, get_args

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from ptu_seq.data import TokenizerPair, TranslationDataset, token_mapping, train_vocabulary
from ptu_seq.errors import UserError, closest
from ptu_seq.ranges import Checked, Range

VocabularyTransfer = Literal["joint", "match", "random"]
PieceModel = Literal["unigram", "bpe"]


@dataclass(frozen=True)
class VocabularyOptions(Checked):
    """The vocabularies of parent and children.

    Args:
        vocabulary: how a child's vocabulary follows from the parent's: "joint", "match", "random".
        vocab_size: pieces of each of the parent's vocabularies.
        child_vocab_size: pieces of a vocabulary that a child trains on its own pairs.
        scratch_vocab_size: pieces of the joint vocabulary of `scratch`, which nothing ties to the
            parent: small, as Sennrich & Zhang (2019) advise for few pairs.
        piece_model: sentencepiece's model.

    Raises:
        UserError: if a value is not among those accepted.
    """

    _argument_group_name: ClassVar[str] = "vocabularies"

    vocabulary: VocabularyTransfer = field(
        default="match",
        metadata={
            "help": "child's vocabulary where its language is not the parent's: joint (one for "
            "all, made of all their training text whatever the sizes), match (shared pieces keep "
            "their vectors) or random (random ones of the parent)"
        },
    )
    vocab_size: Annotated[int, Range(300)] = field(
        default=4000, metadata={"help": "sentencepiece pieces of each of the parent's vocabularies"}
    )
    child_vocab_size: Annotated[int, Range(300)] = field(
        default=2000, metadata={"help": "pieces of a vocabulary of a child's own"}
    )
    scratch_vocab_size: Annotated[int, Range(300)] = field(
        default=2000, metadata={"help": "pieces of the joint vocabulary of the method scratch"}
    )
    piece_model: PieceModel = field(
        default="unigram", metadata={"help": "sentencepiece's model: unigram or bpe"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, accepted in (
            ("vocabulary", get_args(VocabularyTransfer)),
            ("piece_model", get_args(PieceModel)),
        ):
            value = getattr(self, name)
            if value not in accepted:
                raise UserError(
                    f"--{name} is {value!r}{closest(value, accepted)}; accepted: "
                    f"{', '.join(accepted)}."
                )


@dataclass(frozen=True)
class ChildVocabulary:
    """A child's tokenizers, and where their tokens are in the parent's.

    Args:
        tokenizers: the child's.
        encoder_mapping: the parent's id of each source token, -1 if it has none; None where the
            vocabulary is the parent's.
        decoder_mapping: the same of target tokens.
    """

    tokenizers: TokenizerPair
    encoder_mapping: Tensor | None = None
    decoder_mapping: Tensor | None = None


def parent_vocabulary(
    parent: TranslationDataset,
    children: Sequence[TranslationDataset],
    options: VocabularyOptions,
    max_length: int,
) -> TokenizerPair:
    """The parent's vocabularies, trained on training text alone.

    Args:
        parent: the parent's pairs.
        children: those that will share the vocabulary if it is "joint": the text of each is
            repeated until it is as long as the parent's, or its words would fall to pieces.
        options: kind and sizes.
        max_length: tokens that the model reads of a sentence.
    """
    if options.vocabulary == "joint":
        texts = _both_sides(parent)
        for child in children:
            own = _both_sides(child)
            texts += own * max(1, len(parent.train) // len(child.train))
        return _joint(texts, "vocab_size", options, max_length)
    source, target = (
        _train(parent.train[side][:], "vocab_size", options, max_length)
        for side in ("source", "target")
    )
    return TokenizerPair(source, target)


def child_vocabulary(
    parent: TokenizerPair,
    parent_languages: tuple[str, str],
    child: TranslationDataset,
    options: VocabularyOptions,
    seed: int,
) -> ChildVocabulary:
    """A child's vocabularies; what it trains itself, it trains on the pairs it is given.

    Args:
        parent: the parent's tokenizers.
        parent_languages: of the parent's source and target.
        child: the child's pairs.
        options: kind and sizes.
        seed: draws the pieces of "random".

    Raises:
        UserError: if the vocabulary shall be joint and the parent's is not, or the other way round.
    """
    if options.vocabulary == "joint":
        if not parent.joint:
            raise UserError(
                "the parent has separate vocabularies for its two languages, which a child cannot "
                "share with --vocabulary joint; give --vocabulary match or random."
            )
        return ChildVocabulary(parent)
    own = parent_languages != (child.source_lang, child.target_lang)
    if parent.joint and own:
        raise UserError(
            f"the parent reads and writes one joint vocabulary, so a child cannot have its own "
            f"with --vocabulary {options.vocabulary}; give --vocabulary joint."
        )
    generator = torch.Generator().manual_seed(seed)
    sides: list[tuple[PreTrainedTokenizerFast, Tensor | None]] = []
    for side, theirs, language, known in (
        ("source", parent.source, child.source_lang, parent_languages[0]),
        ("target", parent.target, child.target_lang, parent_languages[1]),
    ):
        if language == known:
            sides.append((theirs, None))
            continue
        ours = _train(child.train[side][:], "child_vocab_size", options, parent.max_length)
        mapping = token_mapping(ours, theirs)
        if options.vocabulary == "random":
            mapping = _random_mapping(ours, theirs, mapping, generator)
        sides.append((ours, mapping))
    (source, encoder_mapping), (target, decoder_mapping) = sides
    return ChildVocabulary(TokenizerPair(source, target), encoder_mapping, decoder_mapping)


def scratch_vocabulary(
    child: TranslationDataset, options: VocabularyOptions, max_length: int
) -> TokenizerPair:
    """A small joint vocabulary of a child's own pairs, for a network that has no parent."""
    return _joint(_both_sides(child), "scratch_vocab_size", options, max_length)


def _random_mapping(
    child: PreTrainedTokenizerFast,
    parent: PreTrainedTokenizerFast,
    matched: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Special tokens stay what they are; every other gets a parent's token, as evenly as can be."""
    ours, theirs = (
        torch.tensor([i for i in range(len(t)) if i not in set(t.all_special_ids)])
        for t in (child, parent)
    )
    rounds = math.ceil(len(ours) / len(theirs))
    orders = [torch.randperm(len(theirs), generator=generator) for _ in range(rounds)]
    mapping = matched.clone()
    mapping[ours] = theirs[torch.cat(orders)[: len(ours)]]
    return mapping


def _both_sides(dataset: TranslationDataset) -> list[str]:
    return [*dataset.train["source"][:], *dataset.train["target"][:]]


def _joint(
    texts: Iterable[str], size: str, options: VocabularyOptions, max_length: int
) -> TokenizerPair:
    tokenizer = _train(texts, size, options, max_length)
    return TokenizerPair(tokenizer, tokenizer)


def _train(
    texts: Iterable[str], size: str, options: VocabularyOptions, max_length: int
) -> PreTrainedTokenizerFast:
    """A vocabulary of the size that an option says; messages name it as the flag."""
    try:
        return train_vocabulary(
            texts, getattr(options, size), options.piece_model, max_length=max_length
        )
    except UserError as error:
        raise UserError(f"--{size}: {error}") from error
