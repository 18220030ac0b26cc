"""Cross-stitch units (Misra et al., CVPR 2016): features mixed by constants, not by gates."""

from __future__ import annotations

from typing import Any, ClassVar, cast, get_args

from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, split_by_rate
from ptu_seq.methods.translation.base import (
    TranslationMethod,
    TranslationTask,
    child_fields,
    table_rates,
)
from ptu_seq.methods.translation.fine_tune import FineTune
from ptu_seq.models import RNNForConditionalGeneration
from ptu_seq.models.seq2seq_config import Seq2SeqSite, SourceInput
from ptu_seq.models.stitched_seq2seq import CrossStitchForConditionalGeneration
from ptu_seq.models.twin_seq2seq import TwinForConditionalGeneration


class CrossStitchTransfer(TranslationMethod):
    """Fine-tuning beside the frozen parent, stitched to it wherever `ptu` has units.

    Where the Parameter Transfer Unit has gates that read both networks, a cross-stitch unit has
    two learned constants a feature: :class:`ptu_seq.linear_units.CrossStitch`. They have a learning
    rate of their own, as in the paper. The parent reads what `ptu`'s does (`--source_input`). The
    other rates are those of the first two settings of
    :class:`~ptu_seq.methods.translation.fine_tune.FineTune`.
    """

    name = "cross_stitch"
    grid = tuple(
        {**setting, "unit_learning_rate": rate}
        for rate in (1e-2, 1e-1)
        for setting in FineTune.grid[:2]
    )
    model_class: ClassVar[type[TwinForConditionalGeneration]] = CrossStitchForConditionalGeneration
    sites: ClassVar[tuple[Seq2SeqSite, ...]] = get_args(Seq2SeqSite)

    def build(
        self, parent: RNNForConditionalGeneration, task: TranslationTask, setting: Setting
    ) -> TwinForConditionalGeneration:
        """A copy of the parent with the child's vocabularies, stitched to one that stays frozen."""
        return self.model_class.from_source(
            parent,
            target=child_fields(task, setting),
            encoder_mapping=task.encoder_mapping,
            decoder_mapping=task.decoder_mapping,
            sites=self.sites,
            source_input=self.source_input(task),
        )

    def source_input(self, task: TranslationTask) -> SourceInput:
        """What the parent's layers read: see :class:`ptu_seq.models.PTUSeq2SeqConfig`."""
        return cast(SourceInput, task.unit_options.get("source_input", "own"))

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """Units, tables of token vectors and network, each at its own rate."""
        twins = cast(TwinForConditionalGeneration, model)
        units = [weight for _, unit in twins.units() for weight in unit.parameters()]
        parts = [(units, setting["unit_learning_rate"]), *table_rates(model, setting)]
        return split_by_rate(model, parts, setting["learning_rate"])
