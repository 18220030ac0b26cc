"""Labelled texts as batches for a saved classifier, with its own tokenizer and labels."""

from __future__ import annotations

import datasets

from ptu_seq.batches import Examples, pad
from ptu_seq.collapse import Batch
from ptu_seq.data import ClassificationDataset, encode
from ptu_seq.data.subsets import stratified_order
from ptu_seq.errors import UserError
from ptu_seq.export import LONGEST
from ptu_seq.inference import Classifier
from ptu_seq.models.labels import label_names
from ptu_seq.training import by_length


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


def labelled_batches(
    classifier: Classifier,
    dataset: ClassificationDataset,
    split: datasets.Dataset,
    batch_size: int,
) -> list[Batch]:
    """A split's texts as the classifier reads them, like lengths together, on its device.

    Args:
        classifier: the model and its tokenizer, which tells how much of a text is read.
        dataset: the split's data set: see :func:`check_dataset`.
        split: one of its tables.
        batch_size: texts in a batch.

    Returns:
        Batches with "labels", which are the model's numbers.
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
    return batches


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
