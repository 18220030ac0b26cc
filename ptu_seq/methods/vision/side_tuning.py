"""Side-tuning (Zhang et al., ECCV 2020): a side network is added to the frozen source's output."""

from __future__ import annotations

from transformers import PreTrainedModel

from ptu_seq.linear_units import SideBlend
from ptu_seq.methods.base import Setting, Task
from ptu_seq.methods.layers import layers
from ptu_seq.methods.vision.cross_stitch import CrossStitchTransfer, stitch
from ptu_seq.methods.vision.fine_tune import FineTune


class SideTuning(CrossStitchTransfer):
    """Source and side network blended after the last block: :mod:`ptu_seq.methods.side_tuning`."""

    name = "side_tuning"

    def build(self, source: PreTrainedModel, task: Task, setting: Setting) -> PreTrainedModel:
        """A copy of the source, blended with another that stays frozen."""
        last = layers(source)[-2].name
        network = FineTune.build(self, source, task, setting)
        return stitch(network, source, [last], SideBlend)
