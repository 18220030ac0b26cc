"""L2-SP (Li, Grandvalet & Davoine, ICML 2018): fine-tuning, held near the source's weights."""

from __future__ import annotations

from transformers import PreTrainedModel
from transformers.trainer_callback import TrainerCallback

from ptu_seq.methods.base import Setting
from ptu_seq.methods.l2_sp import l2_sp
from ptu_seq.methods.vision.fine_tune import FineTune


class L2SP(FineTune):
    """Fine-tuning under a penalty on the distance from the source: :mod:`ptu_seq.methods.l2_sp`."""

    name = "l2_sp"
    grid = (
        {"learning_rate": 1e-3, "pull": 1.0},
        {"learning_rate": 1e-3, "pull": 10.0},
        {"learning_rate": 3e-3, "pull": 10.0},
        {"learning_rate": 3e-4, "pull": 1.0},
    )

    def callbacks(self, model: PreTrainedModel, setting: Setting) -> list[TrainerCallback]:
        """The pull back to the start."""
        return l2_sp(model, setting)
