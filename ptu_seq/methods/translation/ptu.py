"""Parameter Transfer Units: gates learn at each neuron what to take from the frozen parent."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, split_by_rate
from ptu_seq.methods.translation.base import (
    TranslationMethod,
    TranslationTask,
    child_fields,
    table_rates,
)
from ptu_seq.models import PTUForConditionalGeneration, RNNForConditionalGeneration


class PTUTransfer(TranslationMethod):
    """A child beside the frozen parent, with units between them.

    The child starts from the parent's weights (`init` "source"; "random" is there for settings of
    one's own). In training the update gates of randomly drawn neurons are forced open or shut
    (`gate_dropout`), so that each neuron has to serve with the parent's weights and with the
    child's, and what few sentences teach the child stays near what the parent knew. The settings
    are in the order of :class:`~ptu_seq.methods.translation.fine_tune.FineTune`'s: for a thousand
    pairs or fewer, for more, for children with more to learn, and for larger networks.
    """

    name = "ptu"
    grid = (
        {
            "init": "source",
            "learning_rate": 4e-3,
            "source_table_learning_rate": 1.6e-2,
            "target_table_learning_rate": 2e-3,
            "unit_learning_rate": 2e-3,
            "bias_learning_rate": 4e-3,
            "update_bias": 0.0,
            "gate_dropout": 0.5,
            "embedding_dropout": 0.3,
            "hidden_dropout": 0.5,
            "word_dropout": 0.1,
        },
        {
            "init": "source",
            "learning_rate": 8e-3,
            "source_table_learning_rate": 1.6e-2,
            "target_table_learning_rate": 4e-3,
            "unit_learning_rate": 4e-3,
            "bias_learning_rate": 8e-3,
            "update_bias": 0.0,
            "gate_dropout": 0.2,
            "embedding_dropout": 0.3,
            "hidden_dropout": 0.3,
        },
        {
            "init": "source",
            "learning_rate": 1.6e-2,
            "unit_learning_rate": 4e-3,
            "bias_learning_rate": 8e-3,
            "update_bias": 0.0,
            "gate_dropout": 0.2,
            "embedding_dropout": 0.3,
            "hidden_dropout": 0.3,
        },
        {
            "init": "source",
            "learning_rate": 2e-3,
            "unit_learning_rate": 1e-3,
            "bias_learning_rate": 2e-3,
            "update_bias": 0.0,
            "gate_dropout": 0.2,
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
            **{
                **task.unit_options,
                "update_bias": setting["update_bias"],
                "gate_dropout": setting["gate_dropout"],
            },
        )

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """Units, their biases and the child's network, each at a rate of its own."""
        assert isinstance(model, PTUForConditionalGeneration)
        units = [unit for _, unit in model.units()]
        biases = [unit.bias for unit in units]
        weights = [p for unit in units for p in unit.parameters() if p is not unit.bias]
        return split_by_rate(
            model,
            [
                (biases, setting["bias_learning_rate"]),
                (weights, setting["unit_learning_rate"]),
                *table_rates(model, setting),
            ],
            setting["learning_rate"],
        )
