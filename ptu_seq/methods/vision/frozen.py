"""Parameter sharing: the source's layers stay as they are, only a classifier is trained."""

from __future__ import annotations

from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, Task
from ptu_seq.methods.vision.base import ImageMethod, copy_source, freeze, plain_network


class Frozen(ImageMethod):
    """The source with all but its classifier frozen: a linear probe."""

    name = "frozen"
    joins = False
    grid = (
        {"learning_rate": 1e-3},
        {"learning_rate": 3e-3},
        {"learning_rate": 1e-2},
        {"learning_rate": 3e-2},
    )

    def build(self, source: PreTrainedModel, task: Task, setting: Setting) -> PreTrainedModel:
        """The source with a classifier for the target's labels."""
        network = plain_network(source, task)
        copy_source(source, network)
        freeze(network.base_model)
        return network
