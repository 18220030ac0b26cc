"""LP-FT (Kumar et al., ICLR 2022): the words learn first, then all layers from there."""

from __future__ import annotations

from transformers import PreTrainedModel
from transformers.trainer_callback import TrainerCallback

from ptu_seq.methods.base import Setting
from ptu_seq.methods.translation.fine_tune import FineTune
from ptu_seq.methods.translation.layers import layers
from ptu_seq.methods.unfreezing import Stage, StagedUnfreezing


class LPFT(FineTune):
    """Fine-tuning whose words have learned to speak to the frozen parent beforehand.

    What is new in a network distorts what is good in it in the first steps of fine-tuning. In a
    translator that is new words: the source language's and, where the parent does not know them,
    the target's. So for a share of the steps ("probe_share") the token vectors of both languages
    and the output layer, the classifier of the paper, learn alone, then everything does. Both
    stages are within one step budget, that of all methods, and one schedule of learning rates.
    """

    name = "lp_ft"
    #: Those of fine-tuning. The share ends before early stopping can, in every preset.
    grid = tuple({**setting, "probe_share": 0.2} for setting in FineTune.grid)

    def callbacks(self, model: PreTrainedModel, setting: Setting) -> list[TrainerCallback]:
        """All layers between the words sleep through the first stage."""
        return [StagedUnfreezing([Stage(setting["probe_share"], layers(model)[1:-1])])]
