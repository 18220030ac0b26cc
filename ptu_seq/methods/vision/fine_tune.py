"""Fine-tuning: the source's weights are the target's start, and all of them are trained."""

from __future__ import annotations

from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, Task
from ptu_seq.methods.vision.base import ImageMethod, copy_source, plain_network


class FineTune(ImageMethod):
    """The source, trained on in all its layers."""

    name = "fine_tune"
    grid: tuple[Setting, ...] = (
        {"learning_rate": 1e-3},
        {"learning_rate": 3e-4},
        {"learning_rate": 3e-3},
        {"learning_rate": 1e-4},
    )

    def build(self, source: PreTrainedModel, task: Task, setting: Setting) -> PreTrainedModel:
        """A copy of the source, with a classifier for the target's labels."""
        network = plain_network(source, task)
        copy_source(source, network)
        return network
