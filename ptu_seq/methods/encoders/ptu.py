"""Parameter Transfer Units between the encoder as it was and as it becomes."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, Task, split_by_rate
from ptu_seq.methods.encoders.base import EncoderMethod
from ptu_seq.models import EncoderForSequenceClassification, PTUEncoderForSequenceClassification
from ptu_seq.models.labels import linear_head


class PTUTransfer(EncoderMethod):
    """A copy of the encoder that is trained, beside the frozen one, with units after each layer."""

    name = "ptu"
    grid = (
        {
            "init": "source",
            "learning_rate": 1e-4,
            "unit_learning_rate": 1e-3,
            "classifier_learning_rate": 1e-2,
            "update_bias": -2.0,
        },
        {
            "init": "source",
            "learning_rate": 3e-4,
            "unit_learning_rate": 1e-3,
            "classifier_learning_rate": 1e-2,
            "update_bias": -2.0,
        },
    )

    def build(
        self, source: EncoderForSequenceClassification, task: Task, setting: Setting
    ) -> PTUEncoderForSequenceClassification:
        """Both networks and their units."""
        return PTUEncoderForSequenceClassification.from_source(
            source,
            init=setting["init"],
            id2label=task.id2label,
            update_bias=setting["update_bias"],
            candidate=task.unit_options.get("candidate", "linear"),
        )

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """The units, the classifier and the encoder, each at its rate."""
        return unit_groups(model, setting)


def unit_groups(model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
    """The units, the classifier and the rest of the target, each at its rate."""
    assert isinstance(model, PTUEncoderForSequenceClassification)
    units = [p for _, unit in model.units() for p in unit.parameters()]
    head = linear_head(model.target)
    return split_by_rate(
        model,
        [
            (units, setting["unit_learning_rate"]),
            (head.parameters(), setting["classifier_learning_rate"]),
        ],
        setting["learning_rate"],
    )
