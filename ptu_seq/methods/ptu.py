"""Parameter Transfer Units: gates learn at each neuron what to take from the frozen source."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, Task, TransferMethod, split_by_rate
from ptu_seq.models import PTUForSequenceClassification, RNNForSequenceClassification


class PTUTransfer(TransferMethod):
    """A target network beside the frozen source, with units between them.

    The start of the target, "source" or "random", is a hyper-parameter like the learning rate:
    where the tasks are near, the source is the better start, elsewhere a new network is.

    All settings let much of the source's token vectors through, and drop either vector at random in
    training, so that a word that the few examples move too far still has its old place. The first
    two settings begin near fine-tuning everywhere else: there the source's activations, mixed in
    before the gates have learned where they help, would hold the target back.
    """

    name = "ptu"
    grid = (
        {
            "init": "source",
            "learning_rate": 3e-3,
            "unit_learning_rate": 3e-3,
            "classifier_learning_rate": 3e-2,
            "update_bias": {"embedding": 0.0, "rnn": -3.0, "classifier": -3.0},
            "gate_dropout": {"embedding": 0.5, "rnn": 0.0, "classifier": 0.0},
            "branch_loss": 0.0,
        },
        {
            "init": "source",
            "learning_rate": 1e-2,
            "unit_learning_rate": 3e-3,
            "classifier_learning_rate": 1e-2,
            "update_bias": {"embedding": 0.0, "rnn": -3.0, "classifier": -3.0},
            "gate_dropout": {"embedding": 0.5, "rnn": 0.0, "classifier": 0.0},
            "branch_loss": 0.0,
        },
        {
            "init": "source",
            "learning_rate": 1e-2,
            "unit_learning_rate": 3e-3,
            "classifier_learning_rate": 3e-2,
            "update_bias": {"embedding": 0.0, "rnn": -1.0, "classifier": -1.0},
            "gate_dropout": {"embedding": 0.5, "rnn": 0.3, "classifier": 0.3},
            "branch_loss": 0.0,
        },
        {
            "init": "random",
            "learning_rate": 1e-2,
            "unit_learning_rate": 1e-3,
            "classifier_learning_rate": 3e-2,
            "update_bias": {"embedding": 0.0, "rnn": 0.0, "classifier": 0.0},
            "gate_dropout": {"embedding": 0.3, "rnn": 0.3, "classifier": 0.3},
            "branch_loss": 0.5,
        },
    )

    def build(
        self, source: RNNForSequenceClassification, task: Task, setting: Setting
    ) -> PTUForSequenceClassification:
        """Both networks and their units."""
        return PTUForSequenceClassification.from_source(
            source,
            init=setting["init"],
            id2label=task.id2label,
            **{
                **task.unit_options,
                "update_bias": setting["update_bias"],
                "gate_dropout": setting["gate_dropout"],
                "branch_loss": setting["branch_loss"],
            },
        )

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """Units, both classifiers and the target network, each at a rate of its own."""
        assert isinstance(model, PTUForSequenceClassification)
        parts: list[tuple[nn.Module, float]] = [
            (unit, setting["unit_learning_rate"]) for _, unit in model.units()
        ]
        for classifier in (model.classifier, model.source_classifier):
            parts.append((classifier, setting["classifier_learning_rate"]))
        return split_by_rate(model, parts, setting["learning_rate"])
