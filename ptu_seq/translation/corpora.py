"""The corpora of a translation study: a parent's and its children's, checked against each other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ptu_seq.data import TranslationDataset, drop_shared_sentences, load_translation
from ptu_seq.data.streams import TrainingRows
from ptu_seq.data.translation_rows import DIRECTED, Pair
from ptu_seq.errors import UserError
from ptu_seq.jobs import Size

#: Names that say their languages themselves.
_SPEAKING = "bible:"


@dataclass(frozen=True)
class Corpora:
    """A parent and its children.

    Attributes:
        parent: learns from no pair with a sentence of a child's validation or test set.
        parent_name: what tables call it.
        children: by the name that tables call them.
        left_out: numbers of the parent's training pairs that were dropped for that.
        digests: of what each data set holds as it was loaded, by name.
        stream: the parent's training pairs where `parent` has a sample of them only.
    """

    parent: TranslationDataset
    parent_name: str
    children: Mapping[str, TranslationDataset]
    left_out: Sequence[int]
    digests: Mapping[str, str]
    stream: TrainingRows[Pair] | None = None

    @property
    def parent_pairs(self) -> int:
        """The parent's training pairs, however many of them are in memory."""
        return len(self.parent.train) if self.stream is None else self.stream.count


def load_corpora(
    parent: str,
    children: Sequence[str],
    source_langs: Sequence[str] | None,
    target_lang: str | None,
    sizes: Sequence[Size],
) -> Corpora:
    """Loads the data sets of a study.

    Args:
        parent: what :func:`ptu_seq.data.load_translation` knows the parent's pairs by.
        children: the same of the children.
        source_langs: the language to translate from, the parent's and then each child's; None
            where the data sets say it themselves.
        target_lang: the language to translate into, of all.
        sizes: training pairs that will be taken of every child.

    Raises:
        UserError: if a data set cannot be used as what it was given for.
    """
    names = [parent, *children]
    loaded = [
        load_translation(name, language, target_lang)
        for name, language in zip(names, each_source(source_langs, len(names)), strict=True)
    ]
    digests = distinct_digests([(dataset, digest(dataset)) for dataset in loaded])
    for child in loaded[1:]:
        check_sizes(child, sizes)
    learned = loaded[0]
    for child in loaded[1:]:
        learned = drop_shared_sentences(learned, child)
    parent_name, *child_names = digests
    return Corpora(
        learned,
        parent_name,
        dict(zip(child_names, loaded[1:], strict=True)),
        _left_out(loaded[0], learned),
        digests,
    )


def each_source(source_langs: Sequence[str] | None, count: int) -> Sequence[str | None]:
    """The language that each of the data sets is translated from, None where none was said.

    Raises:
        UserError: if they are not as many.
    """
    languages: Sequence[str | None] = source_langs or [None] * count
    if len(languages) != count:
        raise UserError(
            f"--source_langs has {len(languages)} of the {count} languages that it needs: "
            "give the parent's source language and then each child's."
        )
    return languages


def distinct_digests(datasets: Sequence[tuple[TranslationDataset, str]]) -> dict[str, str]:
    """The digests of the parent and its children by the names that tables call them.

    Raises:
        UserError: if a data set does not say its languages, or two have one content or one name.
    """
    digests: dict[str, str] = {}
    for dataset, content in datasets:
        _check_languages(dataset)
        name = label(dataset)
        _check_distinct(dataset, name, content, digests)
        digests[name] = content
    return digests


def label(dataset: TranslationDataset) -> str:
    """What tables call a data set: its name and its languages, in the direction of translation."""
    if dataset.name.startswith(_SPEAKING):
        first, _, second = dataset.name.removeprefix(_SPEAKING).partition("-")
        return dataset.name if _is_forth(dataset, first, second) else f"{_SPEAKING}{second}-{first}"
    path = Path(dataset.name).expanduser()
    name = path.resolve().name if path.exists() else dataset.name
    return f"{name}:{dataset.source_lang}-{dataset.target_lang}"


def _is_forth(dataset: TranslationDataset, first: str, second: str) -> bool:
    """Whether the languages of a name are in the direction of translation."""
    source, target = dataset.source_lang, dataset.target_lang
    if source == first or target == second:
        return True
    if source == second or target == first:  # two versions of a language: en.4 is not en.3
        return False
    return first.partition(".")[0] == source


def digest(dataset: TranslationDataset) -> str:
    """16 hexadecimal digits that stand for all that a data set holds, whatever it is called."""
    sha = hashlib.sha256(f"{dataset.source_lang} {dataset.target_lang}".encode())
    for split in (dataset.train, dataset.validation, dataset.test):
        for column in ("source", "target"):
            for text in split[column][:]:
                sha.update(f"{text}\0".encode())
    return sha.hexdigest()[:16]


def _check_languages(dataset: TranslationDataset) -> None:
    # By its language a child knows which vocabulary it shares with its parent.
    if {dataset.source_lang, dataset.target_lang} & set(DIRECTED):
        raise UserError(
            f"{dataset.name} calls its languages source and target: say which they are with "
            "--source_langs (the parent's, and then each child's) and --target_lang."
        )


def _check_distinct(
    dataset: TranslationDataset, name: str, content: str, digests: Mapping[str, str]
) -> None:
    if content in digests.values():
        raise UserError(
            f"--target_datasets: {dataset.name} has the same pairs as another child or the parent; "
            "give each data set once."
        )
    if name in digests:
        raise UserError(
            f"--target_datasets: there would be two data sets named {name!r} in all tables; give "
            "them under names that differ."
        )


def _left_out(loaded: TranslationDataset, learned: TranslationDataset) -> list[int]:
    kept = set(_pairs(learned))
    return [i for i, pair in enumerate(_pairs(loaded)) if pair not in kept]


def _pairs(dataset: TranslationDataset) -> list[tuple[str, str]]:
    return list(zip(dataset.train["source"][:], dataset.train["target"][:], strict=True))


def check_sizes(child: TranslationDataset, sizes: Sequence[Size]) -> None:
    """Raises UserError for a size that a child is too small for."""
    for size in sizes:
        if size != "all" and size > len(child.train):
            raise UserError(
                f"--sizes {size}: {child.name!r} has {len(child.train)} training pairs; give a "
                "smaller size or 'all'."
            )
