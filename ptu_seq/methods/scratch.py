"""Training from scratch: no transfer, the floor that every method should beat."""

from __future__ import annotations

from ptu_seq.methods.base import Setting, Task, TransferMethod, plain_network
from ptu_seq.models import RNNForSequenceClassification


class Scratch(TransferMethod):
    """A network of the source's shape, trained on the target alone."""

    name = "scratch"
    grid = (
        {"learning_rate": 1e-3, "classifier_learning_rate": 1e-3},
        {"learning_rate": 3e-3, "classifier_learning_rate": 1e-2},
        {"learning_rate": 1e-2, "classifier_learning_rate": 1e-2},
    )

    def build(
        self, source: RNNForSequenceClassification, task: Task, setting: Setting
    ) -> RNNForSequenceClassification:
        """A new network."""
        return plain_network(source, task)
