"""Training from scratch: no transfer, the floor that every method should beat."""

from __future__ import annotations

from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, Task
from ptu_seq.methods.vision.base import ImageMethod, plain_network


class Scratch(ImageMethod):
    """A network of the source's shape, trained on the target alone."""

    name = "scratch"
    grid = (
        {"learning_rate": 1e-3},
        {"learning_rate": 3e-3},
        {"learning_rate": 3e-4},
    )

    def build(self, source: PreTrainedModel, task: Task, setting: Setting) -> PreTrainedModel:
        """A new network."""
        return plain_network(source, task)
