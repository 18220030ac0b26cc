"""A saved sentence classifier over lines of text, a batch at a time."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

import ptu_seq.models  # noqa: F401  registers this project's classes with AutoModel
from ptu_seq.errors import UserError
from ptu_seq.model_trials import try_classifier
from ptu_seq.saved_models import load_model, to_accelerator


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one line; label and probability are None where it holds no text."""

    texts: tuple[str, ...]
    label: str | None
    probability: float | None

    def as_tsv(self) -> str:
        """`label<TAB>probability<TAB>text`, where a pair is two texts."""
        label = "" if self.label is None else self.label
        probability = "" if self.probability is None else f"{self.probability:.4f}"
        return "\t".join((label, probability, *self.texts))

    def as_jsonl(self) -> str:
        """The same as a JSON object, with the keys "text", or "premise" and "hypothesis"."""
        names = ("premise", "hypothesis") if len(self.texts) == 2 else ("text",)
        row: dict[str, Any] = {"label": self.label, "probability": self.probability}
        return json.dumps(row | dict(zip(names, self.texts, strict=True)), ensure_ascii=False)


@dataclass(frozen=True)
class Classifier:
    """A sequence-classification model with its tokenizer.

    Args:
        model: any of transformers' models for sequence classification.
        tokenizer: the tokenizer it was trained with.
        is_pair: whether it reads pairs of a premise and a hypothesis.
    """

    model: Any
    tokenizer: Any
    is_pair: bool

    @classmethod
    def from_pretrained(cls, name: str) -> Classifier:
        """Loads a model and its tokenizer, on the accelerator where there is one.

        Args:
            name: a folder written by `save_pretrained` (safetensors only), or a name on the hub.

        Raises:
            UserError: if there is no such folder, or it holds no trained sequence classifier.
        """
        load_tokenizer = partial(AutoTokenizer.from_pretrained, trust_remote_code=False)
        model, tokenizer = load_model(
            name, AutoModelForSequenceClassification, load_tokenizer, "sequence classifier"
        )
        classifier = cls(model, tokenizer, bool(getattr(model.config, "is_pair", False)))
        try_classifier(classifier, name)
        to_accelerator(model)
        return classifier

    @torch.inference_mode()
    def probabilities(self, rows: Sequence[tuple[str, ...]]) -> torch.Tensor:
        """The probability of each label.

        Args:
            rows: texts, or pairs of texts.

        Returns:
            Probabilities on the CPU, `(rows, labels)`.
        """
        inputs = {name: tensor.to(self.model.device) for name, tensor in self.batch(rows).items()}
        return torch.softmax(self.model(**inputs).logits.float(), dim=-1).cpu()

    def batch(self, rows: Sequence[tuple[str, ...]]) -> dict[str, torch.Tensor]:
        """What the model reads of texts, or of pairs: on the CPU, padded."""
        collate = DataCollatorWithPadding(self.tokenizer)
        return dict(collate([self._encode(row) for row in rows]))

    def _encode(self, row: tuple[str, ...]) -> dict[str, list[int]]:
        # Each side is cut for itself, as in training: a long premise leaves the hypothesis whole.
        sides = [self.tokenizer(text, truncation=True)["input_ids"] for text in row]
        encoded = {"input_ids": [token for side in sides for token in side]}
        encoded["attention_mask"] = [1] * len(encoded["input_ids"])
        if len(sides) > 1:
            encoded["token_type_ids"] = [i for i, side in enumerate(sides) for _ in side]
        return encoded


def classify_lines(
    classifier: Classifier, lines: Iterable[str], *, batch_size: int = 32
) -> Iterator[Prediction]:
    """Labels lines as they come: a batch is classified as soon as its lines have been read.

    Args:
        classifier: the model and its tokenizer.
        lines: texts, or `premise<TAB>hypothesis` for a model of pairs.
        batch_size: lines classified at a time.

    Returns:
        One prediction a line, in the order of the lines. A line without text (or a pair that lacks
        one of its texts) has no label.

    Raises:
        UserError: for a line that is no pair where the model reads pairs; the lines of the batches
            before it have been labelled.
    """
    label_names = classifier.model.config.id2label
    rows = (
        split_row(number, line, classifier.is_pair) for number, line in enumerate(lines, start=1)
    )
    while batch := list(itertools.islice(rows, batch_size)):
        full = [row for row in batch if has_text(row)]
        best = iter(_best(classifier, full))
        for row in batch:
            if has_text(row):
                label, probability = next(best)
                yield Prediction(row, label_names[label], round(probability, 6))
            else:
                yield Prediction(row, None, None)


@contextmanager
def open_lines(path: str | None, argument: str = "--input") -> Iterator[Iterator[str]]:
    """The lines of a UTF-8 file, or of stdin if `path` is None, without their line ends.

    Args:
        path: the file.
        argument: what names it on the command line, for messages.

    Raises:
        UserError: if the file cannot be opened, or a line is not UTF-8.
    """
    if path is None:
        yield _decode(sys.stdin.buffer, "stdin")
        return
    try:
        file = Path(path).open("rb")
    except OSError as error:
        raise UserError(f"{argument} {path}: cannot be read: {error.strerror}.") from error
    with file:
        yield _decode(file, path)


def _decode(file: BinaryIO, name: str) -> Iterator[str]:
    for number, line in enumerate(file, start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{name}, line {number}, byte {error.start + 1} of the line: not UTF-8 "
                f"(0x{line[error.start]:02x}); convert the file to UTF-8 first."
            ) from error


def split_row(number: int, line: str, is_pair: bool) -> tuple[str, ...]:
    """A line's text, or its premise and hypothesis; two empty ones where it holds no text.

    Raises:
        UserError: if a pair is asked for and it is none.
    """
    if not is_pair:
        return (line,)
    texts = tuple(line.split("\t")) if line.strip() else ("", "")
    if len(texts) != 2:
        raise UserError(
            f"line {number}: this model reads pairs, premise<TAB>hypothesis; the line has "
            f"{len(texts) - 1} tabs instead of 1."
        )
    return texts


def has_text(row: tuple[str, ...]) -> bool:
    """Whether no text of a row is empty."""
    return all(text.strip() for text in row)


def _best(classifier: Classifier, rows: list[tuple[str, ...]]) -> list[tuple[int, float]]:
    if not rows:
        return []
    best = classifier.probabilities(rows).max(dim=-1)
    return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
