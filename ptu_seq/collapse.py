"""Which units of a trained classifier can be pinned for good: a greedy search on validation data.

A move pins one unit, or pins it otherwise than before, or pins all of them to the target, so that
the collapsed model has fewer parameters. Of all moves after which the validation score is at most
the tolerance below that of the whole model, the one with the lowest validation loss is made; then
again, until no move is left. `ptu-seq collapse` begins with a model whose gated token vectors are
in a table (:func:`ptu_seq.models.collapse.fold_embedding`), which loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptu_seq.models import PTUForSequenceClassification
from ptu_seq.models.collapse import Collapsed, collapse, units_by_place
from ptu_seq.models.collapsed_config import Parts, States
from ptu_seq.unit import Pin

Batch = Mapping[str, Tensor]
Metric = Callable[[Sequence[int], Sequence[int]], float]
"""A score from 0 to 1 of labels and predictions."""

#: Scores that differ by less are the same.
ROUNDING = 1e-9


class Evaluation(NamedTuple):
    """What validation data says of a model: mean cross-entropy, and a score in percent."""

    loss: float
    score: float


@dataclass(frozen=True)
class Step:
    """Units that were pinned, and what the collapsed model is then."""

    pinned: Mapping[str, Pin]
    parameters: int
    evaluation: Evaluation

    def as_line(self, metric: str) -> str:
        """For people; `metric` is the score's name."""
        pinned = ", ".join(f"{place} to {state}" for place, state in self.pinned.items())
        loss, score = self.evaluation
        return (
            f"pinned {pinned}: {self.parameters:,} parameters, validation loss {loss:.4f}, "
            f"{metric} {score:.1f}"
        )

    def as_record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "pinned": dict(self.pinned),
            "parameters": self.parameters,
            **self.evaluation._asdict(),
        }


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Sequence[Batch], metric: Metric) -> Evaluation:
    """The loss and the score of a classifier, over all examples.

    Args:
        model: the classifier, in eval mode.
        batches: its inputs, with "labels".
        metric: the score.
    """
    losses, labels, predictions = 0.0, [], []
    for batch in batches:
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        logits = model(**inputs).logits.float()
        losses += F.cross_entropy(logits, batch["labels"], reduction="sum").item()
        labels += batch["labels"].tolist()
        predictions += logits.argmax(-1).tolist()
    return Evaluation(losses / len(labels), 100 * metric(labels, predictions))


class Collapses:
    """A trained model collapsed in every way that is asked for, each evaluated once.

    Args:
        model: the whole model; its pins are as before after each call.
        batches: validation data.
        metric: the score.
    """

    def __init__(
        self, model: PTUForSequenceClassification, batches: Sequence[Batch], metric: Metric
    ) -> None:
        self.model, self.batches, self.metric = model, batches, metric
        self._parameters: dict[tuple, int] = {}
        self._evaluations: dict[tuple, Evaluation] = {}

    def parts(self, states: States) -> Parts:
        """What such a model reads of both networks."""
        return Parts.of(states, self.model.target_config)

    def make(self, states: States) -> Collapsed:
        """The model with its units in these states, collapsed."""
        with _pinned(self.model, states):
            return collapse(self.model)

    def parameters(self, states: States) -> int:
        """Its parameters."""
        key = self._key(states)
        if key not in self._parameters:
            self._parameters[key] = count_parameters(self.make(states))
        return self._parameters[key]

    def evaluation(self, states: States) -> Evaluation:
        """Its loss and score on validation data."""
        key = self._key(states)
        if key not in self._evaluations:
            self._evaluations[key] = evaluate(self.make(states), self.batches, self.metric)
        return self._evaluations[key]

    def _key(self, states: States) -> tuple:
        """Equal where models differ only in what nothing reads."""
        return tuple(self.parts(states).states.items())


def search(
    collapses: Collapses,
    floor: float,
    on_moves: Callable[[Sequence[dict[str, Pin | None]]], Iterator[dict[str, Pin | None]]] = iter,
) -> tuple[dict[str, Pin | None], list[Step]]:
    """Pins units, one after another, as long as the validation score stays high enough.

    Args:
        collapses: the model and its validation data.
        floor: the lowest score that is accepted, in percent.
        on_moves: is given each step's moves and yields them, as a progress bar does.

    Returns:
        What each unit is pinned to, None where its gates act, and the steps that led there.
    """
    units = units_by_place(collapses.model)
    states: dict[str, Pin | None] = {place: unit.pinned for place, unit in units.items()}
    steps: list[Step] = []
    while True:
        made = []
        for moved in on_moves(_moves(collapses, states)):
            evaluation = collapses.evaluation(moved)
            if evaluation.score >= floor - ROUNDING:
                made.append((evaluation.loss, collapses.parameters(moved), moved))
        if not made:
            return states, steps
        _, parameters, best = min(made, key=lambda move: move[:2])
        pinned = {p: state for p, state in best.items() if state and state != states[p]}
        states = best
        steps.append(Step(pinned, parameters, collapses.evaluation(best)))


def count_parameters(model: nn.Module) -> int:
    """All of them, trained or not."""
    return sum(parameter.numel() for parameter in model.parameters())


def _moves(collapses: Collapses, states: Mapping[str, Pin | None]) -> list[dict[str, Pin | None]]:
    """All that pin one unit that something reads, or every unit, and make the model smaller."""
    now = collapses.parameters(states)
    read = collapses.parts(states).states
    one = ({**states, place: state} for place in read for state in get_args(Pin))
    target: dict[str, Pin | None] = dict.fromkeys(states, "target")
    return [moved for moved in (*one, target) if collapses.parameters(moved) < now]


@contextmanager
def _pinned(model: PTUForSequenceClassification, states: States) -> Iterator[None]:
    units = units_by_place(model)
    before = {place: unit.pinned for place, unit in units.items()}
    try:
        for place, unit in units.items():
            unit.pinned = states[place]
        yield
    finally:
        for place, unit in units.items():
            unit.pinned = before[place]
