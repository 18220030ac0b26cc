"""A sentencepiece vocabulary as a fast transformers tokenizer, and tokenised data sets."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import sentencepiece
from datasets import Dataset
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerFast

from ptu_seq.data.files import quiet_datasets
from ptu_seq.data.sentencepiece_conversion import (
    BOS,
    EOS,
    PAD,
    UNK,
    ModelType,
    convert,
    train_model,
)
from ptu_seq.errors import UserError

#: At most so many sentences train a vocabulary, drawn with a fixed seed: more change it little.
TRAINING_SENTENCES = 50_000

#: Words beyond `max_length` that `encode` looks at, for words that normalise to nothing.
SPARE_WORDS = 16

#: Changes whenever :func:`encode` gives other tables than before.
FORMAT = 1


def train_tokenizer(
    texts: Iterable[str],
    vocab_size: int,
    *,
    model_type: ModelType = "unigram",
    max_length: int = 64,
) -> PreTrainedTokenizerFast:
    """Trains a sentencepiece vocabulary and wraps it as a fast transformers tokenizer.

    Text is lower-cased and normalised by sentencepiece's `nmt_nfkc_cf`. Ids 0 to 3 are `<pad>`,
    `<unk>`, `<s>` and `</s>`. A sentence becomes "A </s>", a pair "A </s> B </s>" with token types
    0 and 1.

    Args:
        texts: training text only, never validation or test text.
        vocab_size: number of pieces, special ones included; fewer if the text does not yield so
            many.
        model_type: "unigram" or "bpe".
        max_length: the tokenizer's `model_max_length`: the tokens that pipelines keep of one input,
            that is, of both texts of a pair together.

    Returns:
        A tokenizer that saves with `save_pretrained` and loads with `AutoTokenizer`. The same
        texts always give the same one. It returns "token_type_ids" for single texts too (all 0);
        a model for single texts may ignore them.

    Raises:
        UserError: if there is no text, or `vocab_size` is too small for its characters.

    Example:
        >>> tokenizer = train_tokenizer(["A good film.", "A bad film."], vocab_size=40)
        >>> tokenizer.decode(tokenizer("A BAD film.").input_ids)
        'a bad film.</s>'
    """
    model = train_sentencepiece(texts, vocab_size, model_type)
    return PreTrainedTokenizerFast(
        tokenizer_object=convert(model, model_type),
        pad_token=PAD,
        unk_token=UNK,
        bos_token=BOS,
        eos_token=EOS,
        model_max_length=max_length,
        padding_side="right",
        truncation_side="right",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask", "token_type_ids"],
    )


def train_sentencepiece(
    texts: Iterable[str], vocab_size: int, model_type: ModelType = "unigram"
) -> sentencepiece.SentencePieceProcessor:
    """Trains sentencepiece in memory; see :func:`train_tokenizer` for the arguments."""
    return train_model(
        _sentences(texts),
        vocab_size,
        model_type,
        normalization_rule_name="nmt_nfkc_cf",
        character_coverage=0.9999,
    )


def _sentences(texts: Iterable[str]) -> list[str]:
    """The sentences of all texts, or a sample of them (sentencepiece's own draw is not seeded)."""
    pieces = (piece.strip() for text in texts for piece in re.split(r"(?<=[.!?])\s+|\n+", text))
    sentences = [piece for piece in pieces if piece]
    if not sentences:
        raise UserError("There is no text to train a vocabulary on.")
    if len(sentences) <= TRAINING_SENTENCES:
        return sentences
    drawn = np.random.default_rng(0).choice(len(sentences), TRAINING_SENTENCES, replace=False)
    return [sentences[i] for i in sorted(drawn)]


def encode(
    split: Dataset,
    tokenizer: PreTrainedTokenizerFast,
    text_columns: Sequence[str],
    max_length: int,
) -> Dataset:
    """Tokenises a split for a classifier.

    Each text is cut to `max_length` tokens, its `</s>` included; the two sides of a pair are cut
    separately, so that a long premise never pushes the hypothesis out.

    The result is kept in the cache folder of `datasets` (`HF_DATASETS_CACHE`), so that texts are
    tokenised once for all processes and runs; `datasets.disable_caching()` ends that.

    Args:
        split: a table with the text columns and "label".
        tokenizer: from :func:`train_tokenizer`.
        text_columns: ("text",) or ("premise", "hypothesis").
        max_length: tokens kept of each text.

    Returns:
        A table with "input_ids", "attention_mask", "labels", and for pairs "token_type_ids"
        (0 premise, 1 hypothesis); not padded.
    """
    fingerprint = _fingerprint(split, tokenizer, text_columns, max_length)
    with quiet_datasets():
        return split.map(
            partial(
                encode_batch,
                tokenizer=tokenizer,
                text_columns=text_columns,
                max_length=max_length,
            ),
            batched=True,
            remove_columns=split.column_names,
            cache_file_name=_cache_file(fingerprint),
            new_fingerprint=fingerprint,
        )


def encode_batch(
    batch: Mapping[str, Sequence[Any]],
    tokenizer: PreTrainedTokenizerFast,
    text_columns: Sequence[str],
    max_length: int,
) -> dict[str, list[Any]]:
    """Tokenises some rows, given and returned as columns: see :func:`encode`."""
    # A word has at least one token, so the rest of a long text cannot matter; cutting it off first
    # is three times faster on reviews.
    head = re.compile(rf"(?:\S+\s+){{{max_length + SPARE_WORDS}}}")

    def cut(text: str) -> str:
        match = head.match(text)
        return match.group() if match else text

    sides = [
        tokenizer(
            [cut(text) for text in batch[column]], truncation=True, max_length=max_length
        ).input_ids
        for column in text_columns
    ]
    joined: list[list[int]] = [sum(parts, []) for parts in zip(*sides, strict=True)]
    encoded = {
        "input_ids": joined,
        "attention_mask": [[1] * len(ids) for ids in joined],
        "labels": list(batch["label"]),
    }
    if len(sides) > 1:
        encoded["token_type_ids"] = [
            [side for side, ids in enumerate(parts) for _ in ids]
            for parts in zip(*sides, strict=True)
        ]
    return encoded


def _fingerprint(
    split: Dataset, tokenizer: PreTrainedTokenizerFast, text_columns: Sequence[str], max_length: int
) -> str:
    """Tells results of `encode` apart; `datasets` has one of the table's content or origin."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())
    # What the last call set decides nothing.
    model["truncation"] = model["padding"] = None
    sides = (tokenizer.truncation_side, list(text_columns), max_length)
    return Hasher.hash([FORMAT, split._fingerprint, model, *sides])


def _cache_file(fingerprint: str) -> str | None:
    """Where `datasets` keeps a result that has been computed from memory; None if it cannot."""
    folder = Path(datasets.config.HF_DATASETS_CACHE, "ptu_seq")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not (datasets.is_caching_enabled() and os.access(folder, os.W_OK)):
        return None
    return str(folder / f"{fingerprint}.arrow")
