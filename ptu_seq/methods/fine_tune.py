"""Fine-tuning: the source's weights are the target's start, and all of them are trained."""

from __future__ import annotations

from ptu_seq.methods.base import Setting, Task, TransferMethod, copy_source, plain_network
from ptu_seq.models import RNNForSequenceClassification


class FineTune(TransferMethod):
    """The source, trained on in all its layers."""

    name = "fine_tune"
    grid: tuple[Setting, ...] = (
        {"learning_rate": 1e-3, "classifier_learning_rate": 1e-3},
        {"learning_rate": 1e-3, "classifier_learning_rate": 3e-2},
        {"learning_rate": 3e-3, "classifier_learning_rate": 3e-2},
        {"learning_rate": 1e-2, "classifier_learning_rate": 1e-2},
    )

    def build(
        self, source: RNNForSequenceClassification, task: Task, setting: Setting
    ) -> RNNForSequenceClassification:
        """A copy of the source, with a classifier for the target's labels."""
        network = plain_network(source, task)
        copy_source(source, network)
        return network
