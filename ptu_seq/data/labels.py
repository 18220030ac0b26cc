"""Labels of any kind (names, numbers, text of numbers) as indices into their names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    index: dict[int | str, int]
    if names is None:
        keys = {_canonical(row.label) for row in train.rows} - {""}
        ordered = sorted(keys, key=lambda key: (isinstance(key, str), key))
        names = tuple(str(key) for key in ordered)
        index = {key: i for i, key in enumerate(ordered)}
        accepted = _shorten(names)
    else:
        index = {i: i for i in range(len(names))} | {name: i for i, name in enumerate(names)}
        accepted = f"0 to {len(names) - 1} or {_shorten(names)}"
    indexed = {
        split: Rows(
            rows.where, [row._replace(label=_look_up(index, row.label)) for row in rows.rows]
        )
        for split, rows in splits.items()
    }
    seen = {row.label for row in indexed["train"].rows}
    for split, (where, rows) in splits.items():
        for row, new in zip(rows, indexed[split].rows, strict=True):
            if new.label in seen and new.label is not None:
                continue
            place = f"{where}, row {row.number}"
            if _canonical(row.label) == "":
                raise UserError(f"{place}: the label is missing; accepted are {accepted}.")
            if new.label is None:
                hint = closest(str(row.label), names)
                raise UserError(
                    f"{place}: unknown label {row.label!r}{hint}; accepted are {accepted}."
                )
            raise UserError(
                f"{place}: the label {row.label!r} never occurs in {train.where}, so no classifier "
                "can learn it."
            )
    if len(seen) < 2:
        only = names[next(iter(seen))]
        raise UserError(
            f"{train.where} has one class only ({only!r}): a classifier needs at least two."
        )
    return indexed, names


def _look_up(index: Mapping[int | str, int], label: Any) -> int | None:
    """A name goes before a number, so that names such as "1" and "2" mean themselves."""
    if isinstance(label, str) and label.strip() in index:
        return index[label.strip()]
    return index.get(_canonical(label))


def _canonical(label: Any) -> int | str:
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
