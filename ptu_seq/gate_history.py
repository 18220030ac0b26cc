"""How far gates are open while a network is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import TrainerCallback

from ptu_seq.modes import evaluating
from ptu_seq.unit import PTUGates

#: Validation examples whose gates are read at each evaluation, in about the time of half a step of
#: training on 32.
HISTORY_EXAMPLES = 32


class GateHistory(TrainerCallback):
    """The mean of both gates at every site, at each evaluation of a training.

    It reads one batch in eval mode, draws no random number and leaves the model as it was, so the
    training goes on as without it.

    Args:
        batch: arguments of the model's `gates`: a few validation examples.

    Example:
        >>> GateHistory({"input_ids": torch.tensor([[5, 3]])}).records
        []
    """

    def __init__(self, batch: Mapping[str, Tensor]) -> None:
        self.batch = batch
        #: `{"step", "sites": [{"site", "update", "fine_tune"}]}` for every evaluation.
        self.records: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        """The records, for a checkpoint."""
        return {"records": list(self.records)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up those of a checkpoint."""
        self.records = state["records"]

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **kwargs: Any,
    ) -> None:
        """Notes the gates of the weights that were just evaluated."""
        means: dict[str, Tensor] = {}

        def keep(site: str, gates: PTUGates) -> None:
            means[site] = torch.stack([gates.update.mean(), gates.fine_tune.mean()])

        inputs = {name: tensor.to(model.device) for name, tensor in self.batch.items()}
        with evaluating(model):
            model.gates(**inputs, on_gates=keep)
        sites = []
        for site, values in means.items():
            update, fine_tune = values.tolist()
            sites.append({"site": site, "update": update, "fine_tune": fine_tune})
        self.records.append({"step": state.global_step, "sites": sites})
