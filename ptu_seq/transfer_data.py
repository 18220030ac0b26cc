"""The data of a transfer study: a source and its targets, checked against each other."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from datasets import Dataset

from ptu_seq.data import ClassificationDataset, load_classification
from ptu_seq.data.rows import Row
from ptu_seq.data.sources import local_path
from ptu_seq.data.streams import TrainingRows
from ptu_seq.errors import UserError
from ptu_seq.jobs import Size

logger = logging.getLogger("ptu_seq")


@dataclass(frozen=True)
class TransferData:
    """A source and its targets.

    Attributes:
        source: learns from no row that is also in a target's test set; None where a pretrained
            encoder is the source.
        targets: by the name that tables call them.
        left_out: numbers of the source's training rows that were dropped for that.
        digests: of what each data set holds as it was loaded, by the name that tables call it.
        stream: the source's training rows where `source` has a sample of them only.
    """

    source: ClassificationDataset | None
    targets: Mapping[str, ClassificationDataset]
    left_out: Sequence[int]
    digests: Mapping[str, str]
    stream: TrainingRows[Row] | None = None

    @property
    def source_rows(self) -> int:
        """The source's training rows, however many of them are in memory."""
        if self.stream is not None:
            return self.stream.count
        return 0 if self.source is None else len(self.source.train)


def load_transfer_data(
    source: str | None, targets: Sequence[str], sizes: Sequence[Size]
) -> TransferData:
    """Loads the data sets of a study.

    Training rows of the source that are also in a target's test set are dropped, with a warning
    that counts them.

    Args:
        source: what :func:`ptu_seq.data.load_classification` knows the source by; None where a
            pretrained encoder is the source, whose texts are not at hand.
        targets: the same of the targets.
        sizes: training examples that will be taken of every target.

    Raises:
        UserError: if a data set cannot be used as what it was given for.
    """
    loaded = None if source is None else load_classification(source)
    digests = {} if loaded is None or source is None else {short_name(source): digest(loaded)}
    learned = set(digests.values())
    by_name: dict[str, ClassificationDataset] = {}
    for name in targets:
        target = load_classification(name)
        check_target(name, digest(target), learned, digests)
        if loaded is not None:
            check_columns(target, loaded)
        check_sizes(target, sizes)
        by_name[short_name(name)] = target
        digests[short_name(name)] = digest(target)
    if loaded is None:
        return TransferData(None, by_name, [], digests)
    kept, left_out = _without_test_rows(loaded, list(by_name.values()))
    return TransferData(kept, by_name, left_out, digests)


def short_name(dataset: str) -> str:
    """What tables call a data set: the last part of a path, else its name.

    Example:
        >>> short_name("imdb"), short_name("glue/mrpc")
        ('imdb', 'glue/mrpc')
    """
    path = local_path(dataset)
    return path.resolve().name if path.exists() else dataset


def digest(dataset: ClassificationDataset) -> str:
    """16 hexadecimal digits that stand for all that a data set holds, whatever it is called."""
    sha = hashlib.sha256(repr(dataset.label_names).encode())
    for split in (dataset.train, dataset.validation, dataset.test):
        for column in (*dataset.text_columns, "label"):
            for value in split[column]:
                sha.update(f"{value}\0".encode())
    return sha.hexdigest()[:16]


def check_target(
    name: str, content: str, learned: Collection[str], digests: Mapping[str, str]
) -> None:
    """Raises UserError for a target that is the source, or has another data set's name.

    Args:
        name: as it was given.
        content: its digest.
        learned: the source's digest, or nothing.
        digests: those of the data sets before it, by name.
    """
    if content in learned:
        raise UserError(
            f"--target_datasets {name!r} is the source itself, whose network would have "
            "learned from it before; give another target."
        )
    if short_name(name) in digests:
        raise UserError(
            f"--target_datasets {name!r}: there would be two data sets named "
            f"{short_name(name)!r} in all tables; give each once, under names that differ."
        )


def check_columns(target: ClassificationDataset, source: ClassificationDataset) -> None:
    """Raises UserError if one has single texts and the other pairs."""
    if target.text_columns != source.text_columns:
        raise UserError(
            f"the source {source.name!r} has {' and '.join(source.text_columns)}, the target "
            f"{target.name!r} {' and '.join(target.text_columns)}: both must be single texts, or "
            "both pairs."
        )


def check_sizes(target: ClassificationDataset, sizes: Sequence[Size]) -> None:
    """Raises UserError for a size that a target is too small for."""
    for size in sizes:
        if size != "all" and size > len(target.train):
            raise UserError(
                f"--sizes {size}: {target.name!r} has {len(target.train)} training examples; "
                "give a smaller size or 'all'."
            )


def _without_test_rows(
    source: ClassificationDataset, targets: Sequence[ClassificationDataset]
) -> tuple[ClassificationDataset, list[int]]:
    rows = _fingerprints(source.train, source)
    dropped: set[int] = set()
    for target in targets:
        test = set(_fingerprints(target.test, target))
        found = [i for i, row in enumerate(rows) if row in test]
        if found:
            logger.warning(
                "%s: dropped %d of %d training rows that also occur in the test set of %s.",
                source.name,
                len(found),
                len(rows),
                target.name,
            )
        dropped.update(found)
    if not dropped:
        return source, []
    kept = source.train.select([i for i in range(len(rows)) if i not in dropped])
    if len(set(kept["label"])) < 2:
        raise UserError(
            f"the source {source.name!r} has fewer than two classes left without the rows that "
            "also occur in a target's test set; give another source."
        )
    return dataclasses.replace(source, train=kept), sorted(dropped)


def _fingerprints(split: Dataset, dataset: ClassificationDataset) -> list[tuple[str, ...]]:
    columns = [split[column][:] for column in dataset.text_columns]
    return [Row(texts, None, 0).fingerprint() for texts in zip(*columns, strict=True)]
