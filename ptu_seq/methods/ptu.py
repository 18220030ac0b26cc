"""Parameter Transfer Units: gates learn at each neuron what to take from the frozen source."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, Task, TransferMethod
from ptu_seq.models import PTUForSequenceClassification, RNNForSequenceClassification


class PTUTransfer(TransferMethod):
    """A target network beside the frozen source, with units between them.

    The start of the target, "source" or "random", is a hyper-parameter like the learning rate:
    where the tasks are near, the source is the better start, elsewhere a new network is.
    """

    name = "ptu"
    grid = (
        {"init": "source", "learning_rate": 1e-3, "unit_learning_rate": 1e-3},
        {"init": "source", "learning_rate": 3e-3, "unit_learning_rate": 3e-3},
        {"init": "random", "learning_rate": 3e-3, "unit_learning_rate": 3e-3},
        {"init": "random", "learning_rate": 1e-2, "unit_learning_rate": 3e-3},
    )

    def build(
        self, source: RNNForSequenceClassification, task: Task, setting: Setting
    ) -> PTUForSequenceClassification:
        """Both networks and their units."""
        return PTUForSequenceClassification.from_source(
            source, init=setting["init"], id2label=task.id2label, **task.unit_options
        )

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """The target network, and the units with the source's classifier, at rates of their own."""
        assert isinstance(model, PTUForSequenceClassification)
        units = [p for _, unit in model.units() for p in unit.parameters()]
        units.extend(model.source_classifier.parameters())
        among_units = set(map(id, units))
        target = [p for p in model.parameters() if id(p) not in among_units]
        return [
            {"params": [p for p in target if p.requires_grad], "lr": setting["learning_rate"]},
            {"params": [p for p in units if p.requires_grad], "lr": setting["unit_learning_rate"]},
        ]
