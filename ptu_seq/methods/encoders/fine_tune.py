"""Fine-tuning: all of the encoder is trained."""

from __future__ import annotations

from ptu_seq.methods.base import Setting, Task
from ptu_seq.methods.encoders.base import EncoderMethod, encoder_copy
from ptu_seq.models import EncoderForSequenceClassification


class FineTune(EncoderMethod):
    """The encoder, trained on in all its layers; the new classifier has a rate of its own."""

    name = "fine_tune"
    grid = (
        {"learning_rate": 1e-4, "classifier_learning_rate": 1e-2},
        {"learning_rate": 3e-4, "classifier_learning_rate": 1e-2},
    )

    def build(
        self, source: EncoderForSequenceClassification, task: Task, setting: Setting
    ) -> EncoderForSequenceClassification:
        """A copy of the encoder under a classifier for the target's labels."""
        return encoder_copy(source, task)
