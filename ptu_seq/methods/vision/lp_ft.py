"""LP-FT (Kumar et al., ICLR 2022): a linear probe first, then fine-tuning from there."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel
from transformers.trainer_callback import TrainerCallback

from ptu_seq.methods.base import Setting, split_by_rate
from ptu_seq.methods.layers import head_parameters
from ptu_seq.methods.lp_ft import lp_ft
from ptu_seq.methods.vision.fine_tune import FineTune


class LPFT(FineTune):
    """A classifier that learns alone at first, then everything: :mod:`ptu_seq.methods.lp_ft`."""

    name = "lp_ft"
    grid = (
        {"learning_rate": 1e-3, "classifier_learning_rate": 1e-2, "probe_share": 0.3},
        {"learning_rate": 3e-4, "classifier_learning_rate": 1e-2, "probe_share": 0.3},
        {"learning_rate": 3e-3, "classifier_learning_rate": 1e-2, "probe_share": 0.3},
        {"learning_rate": 1e-3, "classifier_learning_rate": 1e-3, "probe_share": 0.2},
    )

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """The classifier and the rest, each at its rate."""
        head = (head_parameters(model), setting["classifier_learning_rate"])
        return split_by_rate(model, [head], setting["learning_rate"])

    def callbacks(self, model: PreTrainedModel, setting: Setting) -> list[TrainerCallback]:
        """The body sleeps through the first stage."""
        return lp_ft(model, setting)
