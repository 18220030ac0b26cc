"""What the methods on pretrained encoders share."""

from __future__ import annotations

from ptu_seq.methods.base import Method, Task
from ptu_seq.models import EncoderConfig, EncoderForSequenceClassification
from ptu_seq.models.attached_config import network_fields
from ptu_seq.models.labels import copy_classifier

#: A method for classifiers of texts on a pretrained encoder.
EncoderMethod = Method[EncoderForSequenceClassification]


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
