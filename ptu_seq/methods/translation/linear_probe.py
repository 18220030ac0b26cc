"""Linear probe (Alain & Bengio, 2017): a linear layer learns to name words from frozen features."""

from __future__ import annotations

from ptu_seq.methods.base import Setting
from ptu_seq.methods.translation.base import TranslationTask, freeze_known_tokens, new_child
from ptu_seq.methods.translation.frozen import NO_DROPOUT, Frozen
from ptu_seq.models import RNNForConditionalGeneration, copy_parent


class LinearProbe(Frozen):
    """The frozen parent between words that learn: the source's vectors and the output layer.

    A translator's classifier is its output layer, which names the next token from the attentional
    vector. It learns here beside what `frozen` trains, the source's token vectors, without which a
    new language would say nothing to the features that are probed. Where it is tied to the vectors
    that the decoder reads it is untied, as those belong to the features. It starts from the
    parent's, not from 0 as a classifier's probe does: both write the same tokens.
    """

    name = "linear_probe"
    #: The source's vectors need the high rates of `frozen`, the output layer has little to learn.
    grid = (
        {"learning_rate": 1.6e-2, "target_table_learning_rate": 1e-3},
        {"learning_rate": 1.6e-2, "target_table_learning_rate": 4e-3},
        {"learning_rate": 3e-2, "target_table_learning_rate": 1e-3},
        {"learning_rate": 4e-3, "target_table_learning_rate": 1e-3},
    )

    def build(
        self, parent: RNNForConditionalGeneration, task: TranslationTask, setting: Setting
    ) -> RNNForConditionalGeneration:
        """A frozen copy of the parent with source embeddings and an output layer to train."""
        child = new_child(parent, task, setting, **NO_DROPOUT, tie_embeddings="none")
        copy_parent(parent, child, task.encoder_mapping, task.decoder_mapping)
        read = [*child.decoder.embedding.parameters()]
        child.requires_grad_(False)
        for weight in (
            *child.encoder.embedding.parameters(),
            *child.decoder.output.parameters(),
            *read,
        ):
            weight.requires_grad_(True)
        freeze_known_tokens(read, task)
        return child
