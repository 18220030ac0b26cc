"""Labels of any kind (names, numbers, text of numbers) as indices into their names."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ptu_seq.data.rows import Rows
from ptu_seq.errors import UserError, closest

#: Digits of a label that is taken for a number; longer ones are names, such as keys.
LONGEST_NUMBER = 18


def read_label_names(path: Path) -> tuple[str, ...] | None:
    """Reads labels.json: a list of names, or an object such as `{"0": "negative"}`.

    Args:
        path: the file; it need not exist.

    Returns:
        The names in the order of their indices, or None if there is no such file.

    Raises:
        UserError: if the file does not number names from 0 without gaps.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        if isinstance(content, dict):
            content = [content[str(index)] for index in range(len(content))]
        if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
            raise TypeError("a name is not text")
        if len(set(content)) < len(content):
            raise ValueError("a name occurs twice")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UserError(
            f'{path} must be a list of names, or an object such as {{"0": "negative", "1": '
            f'"positive"}} that numbers them from 0 without gaps ({reason}).'
        ) from error
    return tuple(content)


def index_labels(
    splits: Mapping[str, Rows], names: tuple[str, ...] | None
) -> tuple[dict[str, Rows], tuple[str, ...]]:
    """Turns every label into its index.

    Args:
        splits: the rows of each split, "train" among them, with labels as the file has them.
        names: the names of the labels; without them the labels of "train", sorted (numbers by
            value, then text).

    Returns:
        The rows with integer labels, and the names.

    Raises:
        UserError: for the first row whose label is missing, unknown or never seen in "train", and
            if "train" has one class only.
    """
    train = splits["train"]
    found = LabelIndex.of(names, [row.label for row in train.rows])
    indexed = {
        split: Rows(rows.where, [row._replace(label=found.look_up(row.label)) for row in rows.rows])
        for split, rows in splits.items()
    }
    seen = {row.label for row in indexed["train"].rows}
    for split, (where, rows) in splits.items():
        for row, new in zip(rows, indexed[split].rows, strict=True):
            if new.label not in seen or new.label is None:
                found.refuse(f"{where}, row {row.number}", row.label, train.where)
    check_classes(seen, found.names, train.where)
    return indexed, found.names


def check_classes(seen: Collection[int | None], names: Sequence[str], where: str) -> None:
    """Raises UserError if there is one class only among the labels of training rows."""
    if len(seen) < 2:
        only = names[next(iter(seen)) or 0]
        raise UserError(f"{where} has one class only ({only!r}): a classifier needs at least two.")


@dataclass(frozen=True)
class LabelIndex:
    """Which index each label has, however it is written.

    Attributes:
        names: a label's name at its index.
        index: the index of each label, in its canonical form.
        accepted: what a label may be, for messages.
    """

    names: tuple[str, ...]
    index: Mapping[int | str, int]
    accepted: str

    @classmethod
    def of(cls, names: tuple[str, ...] | None, labels: Iterable[Any]) -> LabelIndex:
        """The index of known names, or without them of the labels, sorted as in `index_labels`."""
        if names is not None:
            index: dict[int | str, int] = {i: i for i in range(len(names))}
            index |= {name: i for i, name in enumerate(names)}
            return cls(names, index, f"0 to {len(names) - 1} or {_shorten(names)}")
        keys = {canonical(label) for label in labels} - {""}
        ordered = sorted(keys, key=lambda key: (isinstance(key, str), key))
        names = tuple(str(key) for key in ordered)
        return cls(names, {key: i for i, key in enumerate(ordered)}, _shorten(names))

    def look_up(self, label: Any) -> int | None:
        """A name goes before a number, so that names such as "1" and "2" mean themselves."""
        if isinstance(label, str) and label.strip() in self.index:
            return self.index[label.strip()]
        return self.index.get(canonical(label))

    def refuse(self, place: str, label: Any, train: str) -> NoReturn:
        """Raises the error for a label that is missing, unknown or not among training rows.

        Args:
            place: where it is: a file and a row.
            label: as the file has it.
            train: where the training rows come from.
        """
        if canonical(label) == "":
            raise UserError(f"{place}: the label is missing; accepted are {self.accepted}.")
        if self.look_up(label) is None:
            hint = closest(str(label), self.names)
            raise UserError(
                f"{place}: unknown label {label!r}{hint}; accepted are {self.accepted}."
            )
        raise UserError(
            f"{place}: the label {label!r} never occurs in {train}, so no classifier can learn it."
        )


def canonical(label: Any) -> int | str:
    """1, 1.0, True and "1" are one label; None, NaN and "" are the missing one, ""."""
    if label is None or label != label:
        return ""
    if isinstance(label, bool) or (isinstance(label, float) and label.is_integer()):
        return int(label)
    if isinstance(label, int):
        return label
    text = str(label).strip()
    is_number = text.removeprefix("-").isdecimal() and len(text) <= LONGEST_NUMBER
    return int(text) if is_number else text


def _shorten(names: tuple[str, ...]) -> str:
    return ", ".join(names[:12]) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
