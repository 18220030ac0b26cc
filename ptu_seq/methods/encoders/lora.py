"""LoRA (Hu et al., ICLR 2022), from the PEFT library: low-rank updates of frozen weights."""

from __future__ import annotations

from ptu_seq.errors import UserError
from ptu_seq.methods.base import Setting, Task
from ptu_seq.methods.encoders.base import EncoderMethod, encoder_copy
from ptu_seq.models import EncoderForSequenceClassification


class LoRA(EncoderMethod):
    """Low-rank updates of the attention's queries and values, as in the paper, and the classifier.

    All else stays as the encoder has it. The updates are scaled by 2, without dropout.
    """

    name = "lora"
    grid = (
        {"learning_rate": 1e-3, "classifier_learning_rate": 1e-2, "rank": 8},
        {"learning_rate": 3e-3, "classifier_learning_rate": 1e-2, "rank": 8},
    )

    def build(
        self, source: EncoderForSequenceClassification, task: Task, setting: Setting
    ) -> EncoderForSequenceClassification:
        """A copy of the encoder in which only the updates and the classifier are trained.

        Raises:
            UserError: if PEFT is not installed, or does not know the kind of encoder.
        """
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError as error:
            raise UserError(
                "--methods lora needs the package peft; install it with: "
                "pip install 'ptu-seq[encoders]'"
            ) from error
        network = encoder_copy(source, task)
        kind = network.encoder.config.model_type
        if kind not in _PROJECTIONS:
            raise UserError(
                f"--methods lora: the queries and values of {kind!r} are not known; known are "
                f"those of {', '.join(_PROJECTIONS)}."
            )
        config = LoraConfig(
            r=setting["rank"], lora_alpha=2 * setting["rank"], target_modules=_PROJECTIONS[kind]
        )
        inject_adapter_in_model(config, network)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_("lora_" in name or name.startswith("classifier."))
        return network


#: Names of the linear maps to queries and values, by the kind of encoder.
_PROJECTIONS = {
    **{kind: ["query", "value"] for kind in ("bert", "roberta", "electra", "xlm-roberta")},
    "mpnet": ["q", "v"],
    "distilbert": ["q_lin", "v_lin"],
}
