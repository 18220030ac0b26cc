"""Which units of a trained model can be pinned for good: a greedy search on validation data.

A move pins units of one part, or pins them otherwise than before, or pins many together, so that
the collapsed model has fewer parameters. Of all moves after which the validation score is at most
the tolerance below that of the whole model, the one with the lowest validation loss is made; then
again, until no move is left.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from torch import nn

from ptu_seq.unit import Pin

State = Pin | Literal["folded"] | None
"""What a part's units are pinned to; "folded" where its gated token vectors are in a table, None
where gates act."""
States = Mapping[str, State]

#: Scores that differ by less are the same.
ROUNDING = 1e-9


class Examples(Protocol):
    """Labelled examples that tell how good a model is, and how fast."""

    def loss(self, model: Any) -> float:
        """The mean cross-entropy."""

    def score(self, model: Any) -> float:
        """The score in percent."""

    def timed(self) -> Sequence[Any]:
        """Some batches of all lengths."""

    def run(self, model: Any, batch: Any) -> None:
        """Does with a batch what is timed."""


class Evaluation(NamedTuple):
    """What validation data says of a model: mean cross-entropy, and a score in percent."""

    loss: float
    score: float


@dataclass(frozen=True)
class Step:
    """Units that were pinned, and what the collapsed model is then."""

    pinned: Mapping[str, State]
    parameters: int
    evaluation: Evaluation

    def as_line(self, metric: str) -> str:
        """For people; `metric` is the score's name."""
        pinned = [f"{place} to {s}" for place, s in self.pinned.items() if s != "folded"]
        folded = [place for place, s in self.pinned.items() if s == "folded"]
        done = [f"pinned {', '.join(pinned)}"] if pinned else []
        done += [f"folded {', '.join(folded)}"] if folded else []
        loss, score = self.evaluation
        return (
            f"{'; '.join(done)}: {self.parameters:,} parameters, validation loss {loss:.4f}, "
            f"{metric} {score:.1f}"
        )

    def as_record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "pinned": dict(self.pinned),
            "parameters": self.parameters,
            **self.evaluation._asdict(),
        }


class Collapses(ABC):
    """A trained model collapsed in every way that is asked for, each evaluated once.

    Args:
        model: the whole model; its pins are as before after each call.
        validation: validation data.
    """

    def __init__(self, model: nn.Module, validation: Examples) -> None:
        self.validation = validation
        self._parameters: dict[tuple, int] = {}
        self._losses: dict[tuple, float] = {}
        self._scores: dict[tuple, float] = {}

    @abstractmethod
    def start(self) -> dict[str, State]:
        """What the units of each part are pinned to before the search."""

    @abstractmethod
    def make(self, states: States) -> Any:
        """The model with its units in these states, collapsed."""

    @abstractmethod
    def candidates(self, states: States) -> Iterator[dict[str, State]]:
        """The states that a single move from these leads to, whatever their size."""

    @abstractmethod
    def sites(self, states: States) -> dict[str, str]:
        """For people and JSON: what each part is that something reads, "gated" where gates act."""

    def moves(self, states: States) -> list[dict[str, State]]:
        """Those candidates that make the model smaller."""
        now = self.parameters(states)
        return [moved for moved in self.candidates(states) if self.parameters(moved) < now]

    def parameters(self, states: States) -> int:
        """Its parameters."""
        key = self.key(states)
        if key not in self._parameters:
            self._parameters[key] = count_parameters(self.make(states))
        return self._parameters[key]

    def loss(self, states: States) -> float:
        """Its loss on validation data."""
        key = self.key(states)
        if key not in self._losses:
            self._losses[key] = self.validation.loss(self.make(states))
        return self._losses[key]

    def score(self, states: States) -> float:
        """Its score on validation data."""
        key = self.key(states)
        if key not in self._scores:
            self._scores[key] = self.validation.score(self.make(states))
        return self._scores[key]

    def key(self, states: States) -> tuple:
        """Equal where models are known to be equal."""
        return tuple(states.items())


def search(
    collapses: Collapses,
    floor: float,
    on_moves: Callable[[Sequence[dict[str, State]]], Iterator[dict[str, State]]] = iter,
) -> tuple[dict[str, State], list[Step]]:
    """Pins units, one part after another, as long as the validation score stays high enough.

    Args:
        collapses: the model and its validation data.
        floor: the lowest score that is accepted, in percent.
        on_moves: is given each step's moves and yields them, as a progress bar does.

    Returns:
        What the units of each part are pinned to, and the steps that led there.
    """
    states, steps = collapses.start(), list[Step]()
    while True:
        losses = [(collapses.loss(moved), moved) for moved in on_moves(collapses.moves(states))]
        # Scores, for which a translator has to translate, are asked for only until one suffices.
        losses.sort(key=lambda move: (move[0], collapses.parameters(move[1])))
        best = next(
            (moved for _, moved in losses if collapses.score(moved) >= floor - ROUNDING), None
        )
        if best is None:
            return states, steps
        changed = {part: state for part, state in best.items() if state and state != states[part]}
        states = best
        evaluation = Evaluation(collapses.loss(best), collapses.score(best))
        steps.append(Step(changed, collapses.parameters(best), evaluation))


def count_parameters(model: nn.Module) -> int:
    """All of them, trained or not."""
    return sum(parameter.numel() for parameter in model.parameters())
