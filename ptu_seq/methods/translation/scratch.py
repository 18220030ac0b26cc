"""Training from scratch: no transfer, the floor that every method should beat."""

from __future__ import annotations

from ptu_seq.methods.base import Setting
from ptu_seq.methods.translation.base import TranslationMethod, TranslationTask, new_child
from ptu_seq.models import RNNForConditionalGeneration


class Scratch(TranslationMethod):
    """A network of the parent's shape, trained on the child's pairs alone.

    Its settings are those of Sennrich & Zhang (2019), who show how far a low-resource translator
    comes without transfer: strong dropout of features and of words, and label smoothing. (The small
    vocabulary and the tied embeddings of that paper are the recipe's affair.)
    """

    name = "scratch"
    joins = False  # its vocabulary is its own, and it is to know nothing of the parent
    grid = (
        {
            "learning_rate": 8e-3,
            "embedding_dropout": 0.3,
            "hidden_dropout": 0.3,
            "word_dropout": 0.1,
            "label_smoothing": 0.1,
        },
        {
            "learning_rate": 1.6e-2,
            "embedding_dropout": 0.3,
            "hidden_dropout": 0.3,
            "word_dropout": 0.1,
            "label_smoothing": 0.1,
        },
        {
            "learning_rate": 4e-3,
            "embedding_dropout": 0.3,
            "hidden_dropout": 0.5,
            "word_dropout": 0.1,
            "label_smoothing": 0.2,
        },
        {
            "learning_rate": 2e-3,
            "embedding_dropout": 0.3,
            "hidden_dropout": 0.5,
            "word_dropout": 0.2,
            "label_smoothing": 0.2,
        },
    )

    def build(
        self, parent: RNNForConditionalGeneration, task: TranslationTask, setting: Setting
    ) -> RNNForConditionalGeneration:
        """A new network."""
        return new_child(parent, task, setting)
