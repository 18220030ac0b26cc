"""Zoph et al. (2016): fine-tuning with the target embeddings frozen."""

from __future__ import annotations

from typing import Any, cast

from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting
from ptu_seq.methods.translation.base import (
    TranslationTask,
    freeze_target_embeddings,
    new_child,
    with_own_source_embedding,
    without_decay,
)
from ptu_seq.methods.translation.fine_tune import FineTune
from ptu_seq.models import RNNForConditionalGeneration, copy_parent


class Zoph(FineTune):
    """All of the parent trained on, but its target embeddings: the best setting of the paper.

    That is both tables of the target language, those that the decoder reads and those that its
    output layer scores tokens by. Parent and child share the target language, and the child's few
    sentences would only wear out what the parent knows of its words. Target tokens that the parent
    does not know are trained. (The paper gives the child's source tokens the vectors of random
    tokens of the parent; which they get here is the vocabulary mapping's affair.)
    """

    name = "zoph"
    #: Those of fine-tuning; of the target tables only unknown tokens learn, as fast as all else.
    grid = tuple(
        {name: value for name, value in setting.items() if name != "target_table_learning_rate"}
        for setting in FineTune.grid
    )

    def build(
        self, parent: RNNForConditionalGeneration, task: TranslationTask, setting: Setting
    ) -> RNNForConditionalGeneration:
        """A copy of the parent with its target embeddings frozen."""
        child = new_child(parent, task, setting, **with_own_source_embedding(parent))
        copy_parent(parent, child, task.encoder_mapping, task.decoder_mapping)
        freeze_target_embeddings(child, task)
        return child

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """All that is not frozen; the source language's table at a rate of its own."""
        groups = super().parameter_groups(model, setting)
        return without_decay(cast(RNNForConditionalGeneration, model), groups)
