"""Distillation from the source, beside the task."""

from __future__ import annotations

from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, Task
from ptu_seq.methods.distillation import SourceAnswers
from ptu_seq.methods.objective import Objective
from ptu_seq.methods.readers import ReadDomains
from ptu_seq.methods.vision.fine_tune import FineTune


class Distillation(FineTune):
    """Fine-tuning that keeps the source's answers: :mod:`ptu_seq.methods.distillation`."""

    name = "distillation"
    grid = (
        {"learning_rate": 1e-3, "distillation": 0.3},
        {"learning_rate": 1e-3, "distillation": 1.0},
        {"learning_rate": 3e-3, "distillation": 1.0},
        {"learning_rate": 3e-4, "distillation": 0.3},
    )

    def objectives(
        self,
        model: PreTrainedModel,
        source: PreTrainedModel,
        task: Task,
        setting: Setting,
        domains: ReadDomains,
    ) -> list[Objective]:
        """The distance from the source's answers."""
        return [SourceAnswers(model, source, setting["distillation"], setting["learning_rate"])]
