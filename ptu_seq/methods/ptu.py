"""Parameter Transfer Units: gates learn at each neuron what to take from the frozen source."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, Task, TransferMethod, split_by_rate
from ptu_seq.models import PTUForSequenceClassification, RNNForSequenceClassification
from ptu_seq.models.lending import LendsHidden

#: Update gates that begin half open at the token vectors and almost shut elsewhere.
ALMOST_SHUT: Setting = {
    "update_bias": {"embedding": 0.0, "rnn": -3.0, "classifier": -3.0},
    "gate_dropout": {"embedding": 0.5, "rnn": 0.0, "classifier": 0.0},
    "branch_loss": 0.5,
}


class PTUTransfer(TransferMethod):
    """A target network beside the frozen source, with units between them.

    The target starts from the source (`init` "source"; "random" is there for settings of one's
    own), at the learning rates of fine-tuning, which the distance between the tasks decides.

    In the first two settings the update gates are almost shut but at the token vectors, as the
    source's activations, mixed in before the gates have learned where they help, would hold a near
    task back; a learning rate of their own lets the gates' biases open where they do. The third,
    for tasks further away, begins with gates that are open wider. The token vectors are mixed half
    and half, and either is dropped at random in training, so that a word that few examples move too
    far still has its old place.
    """

    name = "ptu"
    grid = (
        {
            "init": "source",
            "learning_rate": 1e-3,
            "unit_learning_rate": 1e-3,
            "bias_learning_rate": 1e-2,
            "classifier_learning_rate": 3e-3,
            **ALMOST_SHUT,
        },
        {
            "init": "source",
            "learning_rate": 3e-3,
            "unit_learning_rate": 3e-3,
            "bias_learning_rate": 3e-2,
            "classifier_learning_rate": 3e-2,
            **ALMOST_SHUT,
        },
        {
            "init": "source",
            "learning_rate": 1e-2,
            "unit_learning_rate": 3e-3,
            "bias_learning_rate": 3e-3,
            "classifier_learning_rate": 3e-2,
            "update_bias": {"embedding": 0.0, "rnn": -1.0, "classifier": -1.0},
            "gate_dropout": {"embedding": 0.5, "rnn": 0.3, "classifier": 0.3},
            "branch_loss": 0.0,
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

    def lender(self, model: PreTrainedModel) -> LendsHidden:
        """The source."""
        assert isinstance(model, PTUForSequenceClassification)
        return LendsHidden(model.source.network)

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """Units, their biases, both classifiers and the target network, each at its own rate."""
        assert isinstance(model, PTUForSequenceClassification)
        units = [unit for _, unit in model.units()]
        biases = [unit.bias for unit in units]
        weights = [p for unit in units for p in unit.parameters() if p is not unit.bias]
        classifiers = nn.ModuleList([model.classifier, model.source_classifier])
        return split_by_rate(
            model,
            [
                (biases, setting["bias_learning_rate"]),
                (weights, setting["unit_learning_rate"]),
                (classifiers.parameters(), setting["classifier_learning_rate"]),
            ],
            setting["learning_rate"],
        )
