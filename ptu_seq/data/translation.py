"""Data sets for translation: bundled verse pairs, local files and folders, or from the hub."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from datasets import Dataset, Features, Value

from ptu_seq.data.bible import BIBLE_PAIRS, PREFIX, read_bible
from ptu_seq.data.files import read_table
from ptu_seq.data.parallel_text import is_parallel_text, read_parallel_text
from ptu_seq.data.sources import Table, local_path, read_folder, read_hub
from ptu_seq.data.translation_rows import (
    Pair,
    Pairs,
    extract_pairs,
    find_direction,
    normalise,
    warn_dropped,
)
from ptu_seq.errors import UserError

#: Shares of the pairs that become validation and test where a data set has no such split, the most
#: of them, and the seed that draws them: fixed, so that our splits are the same everywhere.
SHARES = {"test": 0.25, "validation": 0.10}
MOST = {"test": 2000, "validation": 1000}
SPLIT_SEED = 0


@dataclass(frozen=True)
class TranslationDataset:
    """A data set for translation in three splits.

    Each split has the text columns "source" and "target".

    Attributes:
        name: what it was loaded by.
        train: pairs to learn from.
        validation: pairs to choose settings and the stopping point on.
        test: pairs to report scores on, and for nothing else.
        source_lang: the language to translate from.
        target_lang: the language to translate into.
    """

    name: str
    train: Dataset
    validation: Dataset
    test: Dataset
    source_lang: str
    target_lang: str


def load_translation(
    name: str, source_lang: str | None = None, target_lang: str | None = None
) -> TranslationDataset:
    """Loads a data set for translation.

    Rows are in the Hub's format, `{"translation": {"en": ..., "fr": ...}}`, or have a column for
    each language, or the columns "source" and "target".

    Missing splits are cut from the training pairs, always the same ones: validation 10% (at most
    1,000) and test 25% (at most 2,000) of them, once pairs that occur twice are dropped.

    Dropped, with one line that counts them, are: pairs with an empty side; training pairs whose
    sides are identical (those of the other splits keep their place); and training pairs of which
    either side also occurs in validation or test (case, spacing and punctuation apart), since one
    sentence often has many translations.

    Args:
        name: bundled verse pairs such as "bible:fr-en" (`ptu_seq.data.bible`); a folder with the
            files train, validation (or valid, val, dev) and test, each .jsonl, .json, .csv, .tsv or
            .parquet, or plain text named by language (train.fr and train.en); a single such table;
            or a name on the Hugging Face hub, with its configuration after a slash
            ("wmt16/tr-en").
        source_lang: the language to translate from.
        target_lang: the language to translate into. Of two languages one has to be said, of more
            both; bundled pairs, and columns named source and target, need neither.

    Returns:
        The data set.

    Raises:
        UserError: if it cannot be found or read, a language is missing or unclear, the sides of
            parallel files differ in length, or no pairs are left.
    """
    tables, direction = _read(name)
    if direction and not (source_lang or target_lang):
        source_lang, target_lang = direction
    source_lang, target_lang = find_direction(tables, source_lang, target_lang)
    splits = {
        split: extract_pairs(table, source_lang, target_lang) for split, table in tables.items()
    }
    for split, (where, pairs) in splits.items():
        if not pairs:
            raise UserError(f"{where} has no pair of {source_lang} and {target_lang} ({split}).")
    splits["train"] = _drop_identical(splits["train"])
    splits = _fill_splits(splits)
    splits["train"] = _drop_leaks(splits)
    train, validation, test = (
        _to_dataset(splits[split].pairs) for split in ("train", "validation", "test")
    )
    return TranslationDataset(name, train, validation, test, source_lang, target_lang)


def drop_shared_sentences(
    parent: TranslationDataset, child: TranslationDataset
) -> TranslationDataset:
    """Drops what a parent must not have seen: sentences of its child's validation and test sets.

    A parent and a child that share a language often share sentences of it; a parent that has
    learned to write the references of the child's test set makes its scores worthless. A line
    counts what was dropped.

    Args:
        parent: the data set to train the parent model on.
        child: the data set to transfer to.

    Returns:
        The parent's data set without the training pairs of which either side, case, spacing and
        punctuation apart, is a sentence of either side of the child's validation or test set.

    Raises:
        UserError: if no training pair is left.
    """
    held_out = _sentences([*_pairs(child.validation), *_pairs(child.test)])
    pairs = _pairs(parent.train)
    kept = [i for i, pair in enumerate(pairs) if not _is_held_out(pair, held_out)]
    warn_dropped(
        f"{parent.name}:train",
        len(pairs),
        len(kept),
        f"with a sentence of {child.name}'s validation or test set",
    )
    if not kept:
        raise UserError(
            f"Every training pair of {parent.name} has a sentence of {child.name}'s validation or "
            "test set: choose another parent."
        )
    return dataclasses.replace(parent, train=parent.train.select(kept))


def _read(name: str) -> tuple[dict[str, Table], tuple[str, str] | None]:
    """The splits, and the direction where the name says it."""
    if name.startswith(PREFIX):
        return read_bible(name)
    path = local_path(name)
    if path.is_dir():
        if is_parallel_text(path):
            return read_parallel_text(path), None
        return read_folder(path, also=", or plain text such as train.fr beside train.en"), None
    if path.is_file():
        return {"train": Table(name, read_table(path))}, None
    return read_hub(name, dict.fromkeys(BIBLE_PAIRS)), None


def _drop_identical(train: Pairs) -> Pairs:
    kept = [pair for pair in train.pairs if pair.source != pair.target]
    warn_dropped(train.where, len(train.pairs), len(kept), "with identical sides")
    if not kept:
        raise UserError(f"{train.where}: in every pair both sides are the same text.")
    return Pairs(train.where, kept)


def _fill_splits(splits: Mapping[str, Pairs]) -> dict[str, Pairs]:
    """Cuts the splits that are missing from a random order of the training pairs."""
    filled = dict(splits)
    missing = [split for split in SHARES if split not in splits]
    if not missing:
        return filled
    where, repeated = splits["train"]
    pairs = list(dict.fromkeys(repeated))
    warn_dropped(where, len(repeated), len(pairs), "that repeat an earlier one")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(pairs)).tolist()
    for split in missing:
        count = min(max(1, round(SHARES[split] * len(pairs))), MOST[split])
        order, cut = order[:-count], order[-count:]
        filled[split] = Pairs(f"{where} ({split})", [pairs[i] for i in sorted(cut)])
    if not order:
        raise UserError(
            f"{where} has only {len(pairs)} pairs: too few to cut {' and '.join(missing)} from "
            "them and still train."
        )
    filled["train"] = Pairs(where, [pairs[i] for i in sorted(order)])
    return filled


def _drop_leaks(splits: Mapping[str, Pairs]) -> Pairs:
    """The training pairs neither side of which is in validation or test."""
    held_out = _sentences(pair for key in SHARES for pair in splits[key].pairs)
    where, pairs = splits["train"]
    kept = [pair for pair in pairs if not _is_held_out(pair, held_out)]
    warn_dropped(where, len(pairs), len(kept), "with a sentence of validation or test")
    if not kept:
        raise UserError(
            f"{where}: every pair has a sentence that is also in validation or test, so none is "
            "left to train on."
        )
    return Pairs(where, kept)


def _sentences(pairs: Iterable[Pair]) -> set[str]:
    """The normalised sentences of both sides; what normalises to nothing is none."""
    return {normalise(sentence) for pair in pairs for sentence in pair} - {""}


def _is_held_out(pair: Pair, held_out: set[str]) -> bool:
    return any(normalise(sentence) in held_out for sentence in pair)


def _pairs(split: Dataset) -> list[Pair]:
    return list(map(Pair, split["source"][:], split["target"][:]))


def _to_dataset(pairs: list[Pair]) -> Dataset:
    features = Features({"source": Value("string"), "target": Value("string")})
    columns = {
        "source": [pair.source for pair in pairs],
        "target": [pair.target for pair in pairs],
    }
    return Dataset.from_dict(columns, features)
