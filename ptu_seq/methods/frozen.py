"""Parameter sharing: the source's layers stay as they are, only a classifier is trained."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, Task, TransferMethod, copy_source, freeze, plain_network
from ptu_seq.models import RNNForSequenceClassification
from ptu_seq.models.lending import LendsPooled


class Frozen(TransferMethod):
    """The source with all but its classifier frozen, dropout of the frozen part included."""

    name = "frozen"
    joins = False
    grid = (
        {"learning_rate": 0.0, "classifier_learning_rate": 1e-3},
        {"learning_rate": 0.0, "classifier_learning_rate": 1e-2},
        {"learning_rate": 0.0, "classifier_learning_rate": 3e-2},
        {"learning_rate": 0.0, "classifier_learning_rate": 1e-1},
    )

    def build(
        self, source: RNNForSequenceClassification, task: Task, setting: Setting
    ) -> RNNForSequenceClassification:
        """The source with a classifier for the target's labels."""
        network = plain_network(source, task, embedding_dropout=0.0)
        copy_source(source, network)
        for part in (network.embedding, network.rnn, network.pooling):
            freeze(part)
        return network

    def lender(self, model: PreTrainedModel) -> LendsPooled | None:
        """All below the classifier; None where a method built on this one lets any of it learn."""
        assert isinstance(model, RNNForSequenceClassification)
        below = nn.ModuleList([model.embedding, model.rnn, model.pooling])
        learns = any(weight.requires_grad for weight in below.parameters())
        drops = model.embedding_dropout.p > 0 or model.rnn.dropout > 0
        return None if learns or drops else LendsPooled(model)
