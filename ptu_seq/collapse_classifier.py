"""Collapsing a saved classifier: what its units can be pinned to, and the texts that decide.

The search of `ptu-seq collapse` begins with a model whose gated token vectors are in a table
(:func:`ptu_seq.models.collapse.fold_embedding`), which loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast, get_args

import datasets
import torch
from torch import Tensor
from torch.nn import functional as F

from ptu_seq.batches import Examples, pad
from ptu_seq.collapse import Collapses, State, States
from ptu_seq.data import ClassificationDataset, encode
from ptu_seq.data.subsets import stratified_order
from ptu_seq.errors import UserError
from ptu_seq.export import LONGEST
from ptu_seq.inference import Classifier
from ptu_seq.models import PTUForSequenceClassification
from ptu_seq.models.collapse import Collapsed, collapse, units_by_place
from ptu_seq.models.collapsed_config import Parts
from ptu_seq.models.labels import label_names
from ptu_seq.training import by_length
from ptu_seq.unit import Pin

Batch = Mapping[str, Tensor]
Metric = Callable[[Sequence[int], Sequence[int]], float]
"""A score from 0 to 1 of labels and predictions."""

#: How many batches at most are timed.
TIMED_BATCHES = 8


@dataclass(frozen=True)
class LabelledTexts:
    """Texts that a classifier reads, with their labels: see :class:`ptu_seq.collapse.Examples`.

    Args:
        batches: inputs of the classifier, with "labels".
        metric: the score.
    """

    batches: Sequence[Batch]
    metric: Metric

    @torch.inference_mode()
    def loss(self, model: Any) -> float:
        """The mean cross-entropy of a classifier in eval mode."""
        total, count = 0.0, 0
        for batch in self.batches:
            logits = _logits(model, batch).float()
            total += F.cross_entropy(logits, batch["labels"], reduction="sum").item()
            count += len(logits)
        return total / count

    @torch.inference_mode()
    def score(self, model: Any) -> float:
        """The score in percent."""
        labels, predictions = [], []
        for batch in self.batches:
            labels += batch["labels"].tolist()
            predictions += _logits(model, batch).argmax(-1).tolist()
        return 100 * self.metric(labels, predictions)

    def timed(self) -> Sequence[Batch]:
        """Some batches, of all lengths."""
        return self.batches[:: -(-len(self.batches) // TIMED_BATCHES)]

    @torch.inference_mode()
    def run(self, model: Any, batch: Batch) -> None:
        """Reads a batch."""
        _logits(model, batch)


class ClassifierCollapses(Collapses):
    """A trained classifier collapsed in every way that is asked for.

    Args:
        model: the whole model, or what :func:`ptu_seq.models.collapse.fold_embedding` made of it.
        validation: validation data.
        folded: whether its gated token vectors were put in a table.
    """

    def __init__(
        self, model: PTUForSequenceClassification, validation: LabelledTexts, folded: bool = False
    ) -> None:
        super().__init__(model, validation)
        self.model, self.folded = model, folded

    def start(self) -> dict[str, State]:
        """What each unit is pinned to."""
        return {place: unit.pinned for place, unit in units_by_place(self.model).items()}

    def parts(self, states: States) -> Parts:
        """What such a model reads of both networks."""
        return Parts.of(cast(Mapping[str, Pin | None], states), self.model.target_config)

    def make(self, states: States) -> Collapsed:
        """The model with its units in these states, collapsed."""
        with _pinned(self.model, states):
            return collapse(self.model)

    def candidates(self, states: States) -> Iterator[dict[str, State]]:
        """One unit that something reads in each other state, and every unit on the target."""
        for place in self.parts(states).states:
            for state in get_args(Pin):
                yield {**states, place: state}
        yield dict.fromkeys(states, "target")

    def sites(self, states: States) -> dict[str, str]:
        """What each unit is that something reads."""
        read = self.parts(states).states
        sites = {place: str(state or "gated") for place, state in read.items()}
        if self.folded and sites.get("embedding") == "target":
            sites["embedding"] = "folded"
        return sites

    def key(self, states: States) -> tuple:
        """Equal where models differ only in what nothing reads."""
        return tuple(self.parts(states).states.items())


def check_dataset(classifier: Classifier, dataset: ClassificationDataset) -> None:
    """Checks that a data set asks what a classifier answers.

    Raises:
        UserError: if one has pairs and the other single texts, or a label is not the model's.
    """
    reads = ("premise and hypothesis" if classifier.is_pair else "text",)
    has = (" and ".join(dataset.text_columns),)
    if has != reads:
        raise UserError(f"--dataset {dataset.name}: it has {has[0]}; the model reads {reads[0]}.")
    accepted = label_names(classifier.model.config)
    for name in dataset.label_names:
        if name not in accepted:
            raise UserError(
                f"--dataset {dataset.name}: its label {name!r} is none of the model's, which are "
                f"{', '.join(accepted)}."
            )


def labelled_texts(
    classifier: Classifier,
    dataset: ClassificationDataset,
    split: datasets.Dataset,
    batch_size: int,
    metric: Metric,
) -> LabelledTexts:
    """A split's texts as the classifier reads them, like lengths together, on its device.

    Args:
        classifier: the model and its tokenizer, which tells how much of a text is read.
        dataset: the split's data set: see :func:`check_dataset`.
        split: one of its tables.
        batch_size: texts in a batch.
        metric: the score.

    Returns:
        The texts; their "labels" are the model's numbers.
    """
    columns, tokenizer = dataset.text_columns, classifier.tokenizer
    length = min(tokenizer.model_max_length, LONGEST) // len(columns)
    examples = Examples(encode(split, tokenizer, columns, length))
    ours = label_names(classifier.model.config)
    for row in examples.rows:
        row["labels"] = row["labels"].new_tensor(ours.index(dataset.label_names[row["labels"]]))
    order, device = by_length(examples), classifier.model.device
    batches: list[Batch] = []
    for start in range(0, len(order), batch_size):
        rows = [examples[i] for i in order[start : start + batch_size]]
        batch = pad(rows, int(tokenizer.pad_token_id))
        batches.append({name: tensor.to(device) for name, tensor in batch.items()})
    return LabelledTexts(batches, metric)


def some_validation(dataset: ClassificationDataset, count: int | None) -> datasets.Dataset:
    """The validation split, or `count` rows of it in proportion of the labels.

    Raises:
        UserError: if it has fewer.
    """
    split = dataset.validation
    if count is None:
        return split
    if count > len(split):
        raise UserError(
            f"--validation_examples {count}: {dataset.name} has {len(split)} validation examples; "
            "accepted is at most that."
        )
    return split.select(stratified_order(split["label"][:], seed=0)[:count])


def _logits(model: Any, batch: Batch) -> Tensor:
    return model(**{name: tensor for name, tensor in batch.items() if name != "labels"}).logits


@contextmanager
def _pinned(model: PTUForSequenceClassification, states: States) -> Iterator[None]:
    units = units_by_place(model)
    before = {place: unit.pinned for place, unit in units.items()}
    try:
        for place, unit in units.items():
            unit.pinned = cast(Pin | None, states[place])
        yield
    finally:
        for place, unit in units.items():
            unit.pinned = before[place]
