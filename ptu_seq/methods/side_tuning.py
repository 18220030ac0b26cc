"""Side-tuning (Zhang et al., ECCV 2020): a side network is added to the frozen source's output."""

from __future__ import annotations

from ptu_seq.linear_units import SideBlend
from ptu_seq.methods.base import Setting, Task
from ptu_seq.methods.cross_stitch import CrossStitchTransfer, stitch
from ptu_seq.methods.fine_tune import FineTune
from ptu_seq.models import RNNForSequenceClassification


class SideTuning(CrossStitchTransfer):
    """The frozen source and a network beside it, blended before the classifier.

    The side network starts as a copy of the source, as where the paper's sizes allow it; only the
    last hidden states meet, in one learned share: :class:`ptu_seq.linear_units.SideBlend`.
    """

    name = "side_tuning"

    def build(
        self, source: RNNForSequenceClassification, task: Task, setting: Setting
    ) -> RNNForSequenceClassification:
        """A copy of the source, blended with another that stays frozen."""
        return stitch(FineTune.build(self, source, task, setting), source, ["rnn"], SideBlend)
