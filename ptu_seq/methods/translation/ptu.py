"""Parameter Transfer Units: gates learn at each neuron what to take from the frozen parent."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, split_by_rate
from ptu_seq.methods.translation.base import TranslationMethod, TranslationTask, child_fields
from ptu_seq.models import PTUForConditionalGeneration, RNNForConditionalGeneration


class PTUTransfer(TranslationMethod):
    """A child beside the frozen parent, with units between them.

    The start of the child, "source" or "random", is a hyper-parameter like the learning rates.
    """

    name = "ptu"
    grid = (
        {
            "init": "source",
            "learning_rate": 2e-3,
            "unit_learning_rate": 2e-3,
            "update_bias": 0.0,
            "embedding_dropout": 0.3,
            "hidden_dropout": 0.3,
        },
        {
            "init": "source",
            "learning_rate": 1e-3,
            "unit_learning_rate": 3e-3,
            "update_bias": 0.0,
            "embedding_dropout": 0.3,
            "hidden_dropout": 0.5,
            "word_dropout": 0.1,
        },
        {
            "init": "source",
            "learning_rate": 2e-3,
            "unit_learning_rate": 1e-3,
            "update_bias": 0.0,
            "embedding_dropout": 0.3,
            "hidden_dropout": 0.5,
            "word_dropout": 0.1,
        },
        {
            "init": "random",
            "learning_rate": 2e-3,
            "unit_learning_rate": 2e-3,
            "update_bias": 0.0,
            "embedding_dropout": 0.3,
            "hidden_dropout": 0.3,
        },
    )

    def build(
        self, parent: RNNForConditionalGeneration, task: TranslationTask, setting: Setting
    ) -> PTUForConditionalGeneration:
        """Both networks and their units."""
        return PTUForConditionalGeneration.from_source(
            parent,
            init=setting["init"],
            target=child_fields(task, setting),
            encoder_mapping=task.encoder_mapping,
            decoder_mapping=task.decoder_mapping,
            **{**task.unit_options, "update_bias": setting["update_bias"]},
        )

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """Units and the child's network, each at a rate of its own."""
        assert isinstance(model, PTUForConditionalGeneration)
        units = [(unit.parameters(), setting["unit_learning_rate"]) for _, unit in model.units()]
        return split_by_rate(model, units, setting["learning_rate"])
