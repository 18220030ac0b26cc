"""Data sets for translation that are larger than memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset

from ptu_seq.data.bible import BIBLE_PAIRS, PREFIX, read_bible
from ptu_seq.data.parallel_text import is_parallel_text, parallel_files
from ptu_seq.data.sources import Table
from ptu_seq.data.streams.sampling import SAMPLE_ROWS, HeldOut, text_hash
from ptu_seq.data.streams.sources import (
    StreamTable,
    open_shards,
    stream_folder,
    stream_hub,
    stream_tables,
)
from ptu_seq.data.streams.training_rows import RawRow, TrainingRows, draw
from ptu_seq.data.translation import MOST, SHARES, TranslationDataset
from ptu_seq.data.translation_rows import (
    NESTED,
    Pair,
    clean,
    find_direction,
    language_columns,
    normalise,
    warn_dropped,
)
from ptu_seq.errors import UserError


@dataclass(frozen=True)
class TranslationStream:
    """A data set for translation whose training pairs are read when they are needed.

    Attributes:
        dataset: the data set with a random sample of its training pairs, repeats left out, in
            place of all.
        rows: all of its training pairs.
        is_whole: whether the sample holds every training pair.
        left_out: numbers of the pairs, from 1, that are training pairs but for having a sentence
            of a validation or test set that was given.
        digest: 16 hexadecimal digits that stand for all that the data set holds.
    """

    dataset: TranslationDataset
    rows: TrainingRows[Pair]
    is_whole: bool
    left_out: list[int]
    digest: str


def stream_translation(
    name: str,
    source_lang: str | None = None,
    target_lang: str | None = None,
    held_out: Mapping[str, Set[int]] | None = None,
) -> TranslationStream:
    """Opens a data set for translation, and reads it through twice.

    Beyond what is said in :func:`ptu_seq.data.load_translation`: splits that are missing get the
    pairs with the smallest hashes, so that the same ones are taken wherever they stand; repeated
    training pairs are kept.

    Args:
        name: as for `load_translation`; a table of a folder may lie in several files, such as
            train-00000-of-00002.jsonl. JSON files are JSON lines.
        source_lang: the language to translate from.
        target_lang: the language to translate into.
        held_out: hashes of sentences (:func:`held_out_hashes`) that no training pair may have, by
            the name of the data set whose validation and test sets they are from.

    Returns:
        The data set.

    Raises:
        UserError: as `load_translation`.
    """
    tables, direction = _open(name)
    if direction and not (source_lang or target_lang):
        source_lang, target_lang = direction
    heads = {split: Table(table.where, table.head) for split, table in tables.items()}
    source_lang, target_lang = find_direction(heads, source_lang, target_lang)
    readers = {
        split: _Reader(*language_columns(head, source_lang, target_lang))
        for split, head in heads.items()
    }
    survey = _Survey(source_lang, target_lang)
    splits = {
        split: list(survey.read(split, tables[split], readers[split]))
        for split in SHARES
        if split in tables
    }
    cut = HeldOut[Pair](
        {split: share for split, share in SHARES.items() if split not in splits}, MOST
    )
    train = tables["train"]
    identical = count = 0
    for pair in survey.read("train", train, readers["train"]):
        count += 1
        if pair.source == pair.target:
            identical += 1
        else:
            cut.add(pair_hash(pair), pair)
    warn_dropped(train.where, count, count - identical, "with identical sides")
    if identical == count:
        raise UserError(f"{train.where}: in every pair both sides are the same text.")
    cut_splits = cut.splits(train.where)
    splits |= cut_splits
    own = frozenset(key for pairs in splits.values() for pair in pairs for key in pair_keys(pair))
    learned = TrainingRows(train.rows, _Learnable(readers["train"]), pair_keys, own)
    drawn = draw(learned, pair_hash, held_out or {}, SAMPLE_ROWS)
    kept = drawn.rows.count + len(drawn.left_out)
    left = cut.count - sum(map(len, cut_splits.values()))
    warn_dropped(train.where, left, kept, "with a sentence of validation or test")
    for other, found in drawn.found.items():
        reason = f"with a sentence of {other}'s validation or test set"
        warn_dropped(f"{name}:train", kept, kept - found, reason)
    sample = drawn.sample.rows()
    if not sample:
        raise UserError(
            f"{train.where}: every pair has a sentence that is also in a validation or test set, "
            "so none is left to train on."
        )
    return TranslationStream(
        TranslationDataset(
            name,
            _to_dataset(sample),
            _to_dataset(splits["validation"]),
            _to_dataset(splits["test"]),
            source_lang,
            target_lang,
        ),
        drawn.rows,
        drawn.sample.is_whole,
        drawn.left_out,
        survey.digest(),
    )


def pair_hash(pair: Pair) -> int:
    """What stands for a pair."""
    return text_hash(*pair)


def pair_keys(pair: Pair) -> tuple[int, ...]:
    """By what a pair is found in a validation or test set: the sentence of either side."""
    normalised = (normalise(sentence) for sentence in pair)
    return tuple(text_hash(sentence) for sentence in normalised if sentence)


def held_out_hashes(dataset: TranslationDataset) -> frozenset[int]:
    """The hashes of the sentences of a data set's validation and test pairs, of either side."""
    return frozenset(
        key
        for split in (dataset.validation, dataset.test)
        for pair in map(Pair, split["source"][:], split["target"][:])
        for key in pair_keys(pair)
    )


@dataclass(frozen=True)
class _Reader:
    """Takes a pair out of a row; a side may be empty."""

    source: str
    target: str

    def __call__(self, raw: RawRow) -> Pair:
        nested = raw.get(NESTED)
        columns = nested if isinstance(nested, Mapping) else raw
        return Pair(clean(columns.get(self.source)), clean(columns.get(self.target)))


@dataclass(frozen=True)
class _Learnable:
    """The pair of a row, None if a side is empty or both are the same text."""

    read: _Reader

    def __call__(self, raw: RawRow) -> Pair | None:
        pair = self.read(raw)
        return pair if all(pair) and pair.source != pair.target else None


class _Survey:
    """Reads splits and notes their content."""

    def __init__(self, source_lang: str, target_lang: str) -> None:
        self._languages = source_lang, target_lang
        self._sha = hashlib.sha256(f"{source_lang} {target_lang}".encode())

    def read(self, split: str, table: StreamTable, read: _Reader) -> Iterator[Pair]:
        """The pairs of a split without empty ones; how many these are is told at the end."""
        count = kept = 0
        for raw in table.rows:
            pair = read(raw)
            count += 1
            if all(pair):
                kept += 1
                self._sha.update(repr((split, *pair)).encode("utf-8", "surrogatepass"))
                yield pair
        warn_dropped(table.where, count, kept, "with an empty side")
        if not kept:
            source, target = self._languages
            raise UserError(f"{table.where} has no pair of {source} and {target} ({split}).")

    def digest(self) -> str:
        """What stands for all that was read."""
        return self._sha.hexdigest()[:16]


def _open(name: str) -> tuple[dict[str, StreamTable], tuple[str, str] | None]:
    """The splits, and the direction where the name says it."""
    if name.startswith(PREFIX):
        tables, direction = read_bible(name)
        return stream_tables(tables), direction
    path = Path(name).expanduser()
    if path.is_dir():
        if is_parallel_text(path):
            return _open_parallel(path), None
        return stream_folder(path, also=", or plain text such as train.fr beside train.en"), None
    if path.is_file():
        return {"train": open_shards(name, [(path,)])}, None
    return stream_hub(name, dict.fromkeys(BIBLE_PAIRS)), None


def _open_parallel(folder: Path) -> dict[str, StreamTable]:
    return {
        split: open_shards(f"{folder / sides[0].stem}.*", [tuple(sides)])
        for split, sides in parallel_files(folder).items()
    }


def _to_dataset(pairs: list[Pair]) -> Dataset:
    return Dataset.from_dict(
        {"source": [pair.source for pair in pairs], "target": [pair.target for pair in pairs]}
    )
