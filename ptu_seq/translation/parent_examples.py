"""What a parent learns from: tokenised pairs in memory, or batches of a stream."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from ptu_seq.data import TokenizerPair, TranslationDataset, encode_pairs, filter_pairs
from ptu_seq.data.pair_filters import learnable
from ptu_seq.data.streams import StreamedBatches, TrainingRows
from ptu_seq.data.translation_rows import Pair
from ptu_seq.distributed import world_size
from ptu_seq.errors import UserError
from ptu_seq.translation.batches import Example, stream_batches

if TYPE_CHECKING:
    from ptu_seq.translation.parent import ParentRecipe


def examples_in_memory(
    dataset: TranslationDataset, tokenizers: TokenizerPair, recipe: ParentRecipe
) -> list[Example]:
    """The training pairs that are short enough, tokenised.

    Raises:
        UserError: if there are none.
    """
    training = filter_pairs(
        encode_pairs(dataset.train, tokenizers),
        recipe.max_length,
        recipe.max_length_ratio,
        truncate=recipe.truncate,
        where=f"{dataset.name}:train",
    )
    if not training:
        raise _too_long(dataset, recipe)
    return training


def streamed_examples(
    rows: TrainingRows[Pair],
    dataset: TranslationDataset,
    tokenizers: TokenizerPair,
    recipe: ParentRecipe,
) -> StreamedBatches[Pair]:
    """Batches of training pairs that are short enough, read as they are needed.

    Args:
        rows: the training pairs.
        dataset: a sample of them, and its name.
        tokenizers: the parent's.
        recipe: which pairs are too long, and how batches are made.

    Raises:
        UserError: if none of the sample is short enough.
    """
    assert recipe.shuffle_buffer is not None
    batches = stream_batches(
        rows,
        list(map(Pair, dataset.train["source"][:], dataset.train["target"][:])),
        tokenizers,
        partial(
            learnable,
            max_length=recipe.max_length,
            max_length_ratio=recipe.max_length_ratio,
            truncate=recipe.truncate,
        ),
        max(1, recipe.training.part_tokens // world_size()),
        buffer=recipe.shuffle_buffer,
        seed=recipe.seed,
    )
    # Of every process: their batches together are one of all.
    batches.batches_an_epoch = math.ceil(batches.batches_an_epoch / world_size())
    if not batches.batches_an_epoch:
        raise _too_long(dataset, recipe)
    return batches


def _too_long(dataset: TranslationDataset, recipe: ParentRecipe) -> UserError:
    return UserError(
        f"no training pair of {dataset.name} has at most --max_length {recipe.max_length} "
        "tokens and sides of about one length; give a larger --max_length, or --truncate."
    )
