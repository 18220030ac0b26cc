"""What the methods on pretrained encoders share."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from ptu_seq.methods.base import Method, Setting, Task, split_by_rate
from ptu_seq.methods.layers import head_parameters
from ptu_seq.models import EncoderConfig, EncoderForSequenceClassification
from ptu_seq.models.attached_config import network_fields
from ptu_seq.models.labels import copy_classifier


class EncoderMethod(Method[EncoderForSequenceClassification, Task]):
    """A method for classifiers of texts on a pretrained encoder.

    Its settings have a "classifier_learning_rate" beside the "learning_rate" of all else.
    """

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """The classifier and the rest, each at its rate."""
        head = (head_parameters(model), setting["classifier_learning_rate"])
        return split_by_rate(model, [head], setting["learning_rate"])


def encoder_copy(
    source: EncoderForSequenceClassification, task: Task
) -> EncoderForSequenceClassification:
    """The source under a classifier for the target's labels: a new one, unless they agree."""
    fields = network_fields(source.config)
    del fields["model_type"]
    network = EncoderForSequenceClassification(EncoderConfig(**fields, id2label=task.id2label))
    network.encoder.load_state_dict(source.encoder.state_dict())
    copy_classifier(source, network.classifier, network.config)
    return network
