"""A trained classifier as a file that torch runs without this package: `torch.export`."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ptu_seq.errors import UserError
from ptu_seq.inference import Classifier
from ptu_seq.nn import GatedRNN

#: What the file holds beside the program: the names of the labels, in the order of the logits.
LABELS = "labels.json"

#: Tokens of a text at most: some tokenizers know no limit.
LONGEST = 8192


class _Logits(nn.Module):
    """A classifier as a function of two tensors."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def export_classifier(classifier: Classifier, length: int) -> ExportedProgram:
    """A classifier of single texts as a program for batches of any number of texts.

    Every text is filled up, or cut, to one length, as recurrent layers are exported step by step.
    The logits are those of the model, to the bit on the same machine where both run without
    gradients.

    Args:
        classifier: the trained model, whose recurrent layers, if any, read from left to right.
        length: tokens of every text, special ones included.

    Returns:
        The program; `program.module()(input_ids, attention_mask)` gives the logits.

    Shape:
        - input_ids, attention_mask: `(batch, length)`, 1 at tokens and 0 at padding
        - logits: `(batch, num_labels)`

    Raises:
        UserError: for a model of pairs, or one that also reads from right to left, whose steps
            depend on the texts; for units inside a recurrence.

    Example:
        >>> from ptu_seq.models import RNNConfig, RNNForSequenceClassification
        >>> model = RNNForSequenceClassification(RNNConfig(vocab_size=50, num_labels=3))
        >>> program = export_classifier(Classifier(model, tokenizer=None, is_pair=False), length=4)
        >>> ids, mask = torch.tensor([[7, 8, 9, 0]]), torch.tensor([[1, 1, 1, 0]])
        >>> program.module()(ids, mask).shape
        torch.Size([1, 3])
    """
    model = classifier.model.cpu().eval()
    if classifier.is_pair:
        raise UserError("--model: it reads pairs; accepted is a classifier of single texts.")
    rnns = [m for m in model.modules() if isinstance(m, nn.RNNBase)]
    if any(rnn.bidirectional for rnn in rnns):
        raise UserError(
            "--model: its recurrent layers read in both directions; accepted is a classifier whose "
            "layers read from left to right, or a Transformer."
        )
    if any(isinstance(m, GatedRNN) and m.level == "step" for m in model.modules()):
        raise UserError(
            "--model: it has units at level 'step', inside the recurrence; accepted is level "
            "'layer', or a model without units."
        )
    batch = Dim("batch", min=1)
    # Two rows: torch takes a batch of one for a program that reads one text at a time.
    example = torch.ones(2, length, dtype=torch.long)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", message=".*were assigned during export.*")
        return torch.export.export(
            _Logits(model),
            (example, example.clone()),
            dynamic_shapes={"input_ids": {0: batch}, "attention_mask": {0: batch}},
        )


def save_program(program: ExportedProgram, labels: dict[int, str], path: Path) -> None:
    """Writes a program with the names of its labels.

    `torch.export.load(path, extra_files={"labels.json": ""})` reads both.

    Args:
        program: see :func:`export_classifier`.
        labels: the name of each logit.
        path: a file that ends in .pt2; it is written at once or not at all.
    """
    names: list[Any] = [labels[i] for i in sorted(labels)]
    unfinished = path.with_name(f".unfinished-{path.name}")
    try:
        torch.export.save(program, unfinished, extra_files={LABELS: json.dumps(names)})
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
