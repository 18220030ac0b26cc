"""A method with a companion: `ptu+dann` is `ptu` with DANN's loss beside the task's."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel
from transformers.trainer_callback import TrainerCallback

from ptu_seq.activation_table import Lender
from ptu_seq.methods.alignment.base import Alignment
from ptu_seq.methods.base import Method, Setting
from ptu_seq.methods.objective import Objective
from ptu_seq.methods.readers import ReadDomains


class Companion(Method[Any, Any]):
    """Another method, whose network also learns to make the two tasks look alike.

    Its settings are the other method's, each with the strength of the companion's loss as
    "alignment".

    Args:
        method: the other method.
        alignment: the companion's loss.
        name: what flags and tables call both.
    """

    joins = False

    def __init__(self, method: Method[Any, Any], alignment: type[Alignment], name: str) -> None:
        self.name = name
        self.method = method
        self.alignment = alignment
        self.grid = tuple({**s, "alignment": alignment.strength} for s in method.grid)

    def build(self, source: Any, task: Any, setting: Setting) -> PreTrainedModel:
        """What the other method builds."""
        return self.method.build(source, task, setting)

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """Those of the other method."""
        return self.method.parameter_groups(model, setting)

    def lender(self, model: PreTrainedModel) -> Lender | None:
        """That of the other method."""
        return self.method.lender(model)

    def callbacks(self, model: PreTrainedModel, setting: Setting) -> list[TrainerCallback]:
        """Those of the other method."""
        return self.method.callbacks(model, setting)

    def objectives(
        self,
        model: PreTrainedModel,
        source: Any,
        task: Any,
        setting: Setting,
        domains: ReadDomains,
    ) -> list[Objective]:
        """The companion's loss, after those of the other method."""
        theirs = self.method.objectives(model, source, task, setting, domains)
        return [*theirs, self.alignment(domains(model), setting["alignment"])]
