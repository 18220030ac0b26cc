"""LP-FT (Kumar et al., ICLR 2022): a linear probe first, then fine-tuning from there."""

from __future__ import annotations

from transformers import PreTrainedModel
from transformers.trainer_callback import TrainerCallback

from ptu_seq.methods.base import Setting
from ptu_seq.methods.fine_tune import FineTune
from ptu_seq.methods.layers import layers
from ptu_seq.methods.unfreezing import Stage, StagedUnfreezing


class LPFT(FineTune):
    """Fine-tuning whose classifier has learned the frozen source's features beforehand.

    A classifier that starts at random distorts good features in the first steps of fine-tuning. So
    for a share of the steps ("probe_share") it learns alone, then everything does. Both stages are
    within one step budget, that of all methods, and under one schedule of learning rates.
    """

    name = "lp_ft"
    grid = (
        {"learning_rate": 1e-3, "classifier_learning_rate": 3e-2, "probe_share": 0.3},
        {"learning_rate": 3e-3, "classifier_learning_rate": 3e-2, "probe_share": 0.3},
        {"learning_rate": 1e-2, "classifier_learning_rate": 3e-2, "probe_share": 0.2},
        {"learning_rate": 1e-3, "classifier_learning_rate": 3e-3, "probe_share": 0.2},
    )

    def callbacks(self, model: PreTrainedModel, setting: Setting) -> list[TrainerCallback]:
        """The body sleeps through the first stage."""
        return lp_ft(model, setting)


def lp_ft(model: PreTrainedModel, setting: Setting) -> list[TrainerCallback]:
    """Everything but the classifier asleep for a share of the steps.

    Args:
        model: a plain classifier.
        setting: "probe_share" is that share.
    """
    return [StagedUnfreezing([Stage(setting["probe_share"], layers(model)[:-1])])]
