"""Fine-tuning: the parent's weights are the child's start, and all of them are trained."""

from __future__ import annotations

from ptu_seq.methods.base import Setting
from ptu_seq.methods.translation.base import TranslationMethod, TranslationTask, new_child
from ptu_seq.models import RNNForConditionalGeneration, copy_parent


class FineTune(TranslationMethod):
    """The parent, trained on in all its layers.

    Tokens that the parent does not know start with random vectors.
    """

    name = "fine_tune"
    #: The first for some hundred or a thousand pairs, the second for more; the third, of one high
    #: rate, for children with more to learn than the source language's words; then for larger
    #: networks.
    grid: tuple[Setting, ...] = (
        {
            "learning_rate": 4e-3,
            "source_table_learning_rate": 1.6e-2,
            "target_table_learning_rate": 1e-3,
            "embedding_dropout": 0.3,
            "hidden_dropout": 0.5,
            "word_dropout": 0.1,
        },
        {
            "learning_rate": 4e-3,
            "source_table_learning_rate": 1.6e-2,
            "target_table_learning_rate": 2e-3,
            "embedding_dropout": 0.3,
            "hidden_dropout": 0.3,
        },
        {"learning_rate": 8e-3, "embedding_dropout": 0.3, "hidden_dropout": 0.3},
        {"learning_rate": 2e-3, "embedding_dropout": 0.3, "hidden_dropout": 0.3},
    )

    def build(
        self, parent: RNNForConditionalGeneration, task: TranslationTask, setting: Setting
    ) -> RNNForConditionalGeneration:
        """A copy of the parent, with the child's vocabularies."""
        child = new_child(parent, task, setting)
        copy_parent(parent, child, task.encoder_mapping, task.decoder_mapping)
        return child
