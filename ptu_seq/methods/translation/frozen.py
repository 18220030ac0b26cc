"""Parameter sharing: the parent stays as it is, and the child's words learn to speak to it."""

from __future__ import annotations

from typing import Any, cast

from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting
from ptu_seq.methods.translation.base import (
    TranslationMethod,
    TranslationTask,
    freeze_target_embeddings,
    new_child,
    target_embeddings,
    with_own_source_embedding,
    without_decay,
)
from ptu_seq.models import RNNForConditionalGeneration, copy_parent

#: Dropout sleeps, as in all frozen parts: the parent's layers then do what they were trained to do.
NO_DROPOUT = {"embedding_dropout": 0.0, "hidden_dropout": 0.0, "word_dropout": 0.0}


class Frozen(TranslationMethod):
    """The parent with everything frozen but the source embeddings, which are the child's own.

    A new source language has to enter somewhere: its tokens' vectors are trained, from those of the
    parent where it knows the token. Target tokens that the parent does not know are trained as
    well, in the decoder's embeddings and the output layer.
    """

    name = "frozen"
    grid: tuple[Setting, ...] = (
        {"learning_rate": 1e-2},
        {"learning_rate": 3e-2},
        {"learning_rate": 3e-3},
        {"learning_rate": 1e-3},
    )

    def build(
        self, parent: RNNForConditionalGeneration, task: TranslationTask, setting: Setting
    ) -> RNNForConditionalGeneration:
        """A frozen copy of the parent with source embeddings to train."""
        changes = {**NO_DROPOUT, **with_own_source_embedding(parent)}
        child = new_child(parent, task, setting, **changes)
        copy_parent(parent, child, task.encoder_mapping, task.decoder_mapping)
        child.requires_grad_(False)
        for parameter in (*child.encoder.embedding.parameters(), *target_embeddings(child)):
            parameter.requires_grad_(True)
        freeze_target_embeddings(child, task)
        return child

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """The embeddings."""
        groups = super().parameter_groups(model, setting)
        return without_decay(cast(RNNForConditionalGeneration, model), groups)
