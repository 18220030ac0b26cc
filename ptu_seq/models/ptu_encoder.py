"""A classifier of texts that draws on a frozen pretrained encoder through units."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from ptu_seq.models.attached_classifier import AttachedClassifier
from ptu_seq.models.encoder_config import EncoderConfig, PTUEncoderConfig
from ptu_seq.models.labels import classification_loss
from ptu_seq.models.token_gates import OnTokenGates, ReportsGates, at_tokens


class PTUEncoderForSequenceClassification(ReportsGates, AttachedClassifier):
    r"""A target beside a frozen encoder, with units after its layers.

    The target is an encoder of the same shape, or any classifier of the same tokens: an LSTM, say,
    whose sites then name modules of the source by a mapping. See
    :class:`~ptu_seq.models.attached_classifier.AttachedClassifier`.

    Make one with :meth:`from_source`, load one with `from_pretrained`.

    Args:
        config: shapes of both networks and options of the units.

    Shape:
        - input_ids, attention_mask, token_type_ids: `(batch, length)`
        - labels: `(batch,)`; logits: `(batch, num_labels)`

    Raises:
        ValueError: where the networks cannot meet, see :func:`ptu_seq.sites.attach`.

    Example:
        >>> from ptu_seq.models import EncoderForSequenceClassification, RNNConfig
        >>> source = EncoderForSequenceClassification(EncoderConfig())
        >>> names = {0: "cold", 1: "mild", 2: "hot"}
        >>> model = PTUEncoderForSequenceClassification.from_source(source, id2label=names)
        >>> [site for site, _ in model.units()]
        ['encoder.encoder.layer.0', 'encoder.encoder.layer.1']
        >>> lstm = PTUEncoderForSequenceClassification.from_source(
        ...     source,
        ...     init="random",
        ...     id2label=names,
        ...     target=RNNConfig(vocab_size=30522, hidden_size=16),
        ...     sites={"embedding": "encoder.encoder.layer.1", "pooling": "pooling"},
        ... )
        >>> lstm(torch.tensor([[7, 8, 9], [4, 3, 0]])).logits.shape
        torch.Size([2, 3])
    """

    config_class = PTUEncoderConfig
    source_class = AutoModelForSequenceClassification
    config: PTUEncoderConfig
    #: By the kind of encoder.
    blocks = {
        **{
            kind: ["encoder.encoder.layer.*"]
            for kind in ("bert", "roberta", "electra", "mpnet", "xlm-roberta")
        },
        "distilbert": ["encoder.transformer.layer.*"],
    }

    @classmethod
    def kind(cls, network: PreTrainedConfig) -> str:
        """The kind of a network's encoder."""
        is_encoder = isinstance(network, EncoderConfig)
        return str((network.encoder_config if is_encoder else network).model_type)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> SequenceClassifierOutput:
        """Logits, and the loss if there are labels.

        See :class:`~ptu_seq.models.EncoderForSequenceClassification`.
        """
        logits = self.target(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).logits
        loss = classification_loss(self, logits, labels, num_items_in_batch)
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def token_gates(
        self,
        input_ids: Tensor,
        on_gates: OnTokenGates,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> None:
        """The gates at every site; those after the pooling are of whole sentences.

        Reads in eval mode: see :class:`~ptu_seq.models.token_gates.ReportsGates`. The other
        arguments are those of :meth:`forward`.
        """
        mask = attention_mask
        if mask is None:
            encoder: Any = self.source.network.get_submodule("encoder")
            mask = input_ids.ne(encoder.config.pad_token_id).long()
        self._report_gates(
            at_tokens(on_gates, input_ids, mask.bool(), len(input_ids)),
            input_ids=input_ids,
            attention_mask=mask,
            token_type_ids=token_type_ids,
        )

    @staticmethod
    def _example(network: PreTrainedModel) -> dict[str, Tensor]:
        return {"input_ids": torch.ones(1, 2, dtype=torch.long, device=network.device)}
