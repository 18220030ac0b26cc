"""Side-tuning (Zhang et al., ECCV 2020): a side network is added to the frozen parent's output."""

from __future__ import annotations

from ptu_seq.methods.translation.base import TranslationTask
from ptu_seq.methods.translation.cross_stitch import CrossStitchTransfer
from ptu_seq.models.seq2seq_config import SourceInput
from ptu_seq.models.stitched_seq2seq import SideBlendForConditionalGeneration


class SideTuning(CrossStitchTransfer):
    """The frozen parent and a network beside it, blended before the output layer.

    The side network starts as a copy of the parent, as where the paper's sizes allow it; only the
    attentional vectors meet, in one learned share: :class:`ptu_seq.linear_units.SideBlend`. The
    parent is a whole network on the same input, so it reads the tokens itself, whatever `ptu`'s
    does; of a language that is new to it, it tells what the translation's first words say.
    """

    name = "side_tuning"
    model_class = SideBlendForConditionalGeneration
    sites = ("output",)

    def source_input(self, task: TranslationTask) -> SourceInput:
        """The tokens, and then its own activations."""
        return "own"
