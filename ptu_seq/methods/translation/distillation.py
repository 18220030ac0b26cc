"""Distillation: the child is also to write each next word as its parent would."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor
from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting
from ptu_seq.methods.distillation import divergence
from ptu_seq.methods.objective import Objective
from ptu_seq.methods.readers import ReadDomains
from ptu_seq.methods.translation.base import TranslationTask
from ptu_seq.methods.translation.fine_tune import FineTune
from ptu_seq.models import RNNForConditionalGeneration
from ptu_seq.models.copy_parent import checked_mapping, parents_ids
from ptu_seq.models.translation_model import IGNORED
from ptu_seq.source import FrozenSource


class Distillation(FineTune):
    """Fine-tuning that keeps the parent's answers: see :class:`ParentWords`.

    The settings are the first two of
    :class:`~ptu_seq.methods.translation.fine_tune.FineTune`, each at two strengths.
    """

    name = "distillation"
    grid = tuple(
        {**setting, "distillation": strength}
        for setting in FineTune.grid[:2]
        for strength in (0.1, 0.5)
    )

    def objectives(
        self,
        model: PreTrainedModel,
        source: RNNForConditionalGeneration,
        task: TranslationTask,
        setting: Setting,
        domains: ReadDomains,
    ) -> list[Objective]:
        """The distance from the parent's words."""
        return [ParentWords(source, task, setting["distillation"])]


class ParentWords(Objective):
    r"""How far a child is from writing each next word as its parent would.

    Word-level knowledge distillation (Kim & Rush, EMNLP 2016) at the temperature `T` of
    :mod:`ptu_seq.methods.distillation`:

    .. math::
        \frac{\mathrm{weight}}{n} \sum_i T^2 \, \mathrm{KL}(
            \mathrm{softmax}(z^{parent}_i / T) \,\|\, \mathrm{softmax}(z_i / T))

    over the child's `n` label tokens, as the task's loss is averaged. The parent reads the child's
    sentences and translations as its own tokens; what it does not know it reads as its unknown
    token. Both distributions are over the target tokens that both know, and positions at which the
    label is another one count as 0: there the parent has no answer.

    A parent that knows few words of the source language tells mostly which words follow each other
    in the target's. It is then what a language model is to Baziotis, Haddow & Birch (EMNLP 2020),
    who regularise translators of few sentences by the same divergence.

    Args:
        parent: the trained parent, which is copied.
        task: the child's vocabularies.
        weight: what the divergence is multiplied by.

    Shape:
        - inputs: "input_ids", "attention_mask" `(batch, length)`, "labels" `(batch, target length)`
        - logits: `(batch, target length, decoder_vocab_size)`

    Example:
        >>> import torch
        >>> from ptu_seq.models import Seq2SeqConfig
        >>> parent = RNNForConditionalGeneration(Seq2SeqConfig(vocab_size=50)).eval()
        >>> words = ParentWords(parent, TranslationTask(50, 50), weight=0.5)
        >>> batch = {"input_ids": torch.tensor([[7, 3]]), "labels": torch.tensor([[5, 3]])}
        >>> abs(words(batch, parent(**batch).logits, progress=0.0).item()) < 1e-6
        True
    """

    def __init__(
        self, parent: RNNForConditionalGeneration, task: TranslationTask, weight: float
    ) -> None:
        config = parent.config
        self.weight = weight
        self.parent = FrozenSource(copy.deepcopy(parent))
        self.encoder_mapping = checked_mapping(
            task.encoder_mapping, config.vocab_size, task.vocab_size, "vocab_size"
        )
        self.decoder_mapping = checked_mapping(
            task.decoder_mapping,
            config.target_vocab_size,
            task.decoder_vocab_size,
            "decoder_vocab_size",
        )

    def __call__(self, inputs: Mapping[str, Tensor], logits: Tensor, progress: float) -> Tensor:
        """The divergence, weighted."""
        labels, mapping = inputs["labels"], self.decoder_mapping.to(logits.device)
        known = mapping >= 0
        counted = (labels != IGNORED) & known[labels.clamp(min=0)]
        ours = logits[counted][:, known].float()
        theirs = self._answers(inputs)[counted][:, mapping[known]].float()
        return self.weight * divergence(ours, theirs) / (labels != IGNORED).sum()

    def _answers(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The parent's logits at every label of the child's."""
        parent = self.parent.to(inputs["labels"].device).network
        written = parent.prepare_decoder_input_ids_from_labels(inputs["labels"])
        read, written = (
            parents_ids(ids, mapping.to(ids.device), parent.config.unk_token_id)[0]
            for ids, mapping in (
                (inputs["input_ids"], self.encoder_mapping),
                (written, self.decoder_mapping),
            )
        )
        answers: Tensor = parent(
            input_ids=read,
            attention_mask=inputs.get("attention_mask"),
            decoder_input_ids=written,
            use_cache=False,
        ).logits
        return answers
