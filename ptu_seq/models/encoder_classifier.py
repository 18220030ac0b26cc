"""A classifier of texts on one of transformers' pretrained encoders."""

from __future__ import annotations

import inspect
import os
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from ptu_seq.models.attached_config import network_fields
from ptu_seq.models.encoder_config import EncoderConfig, EncoderPooling
from ptu_seq.models.labels import classification_loss
from ptu_seq.models.safetensors_model import SafetensorsModel


class EncoderForSequenceClassification(SafetensorsModel):
    """A Transformer encoder, pooling of its last hidden states, and a linear classifier.

    Unlike transformers' own classifiers it can take the mean over tokens, for which sentence
    encoders such as MiniLM were trained, and its classifier is a single layer for every encoder.

    Args:
        config: the network's shape.

    Shape:
        - input_ids, attention_mask, token_type_ids: `(batch, length)`
        - labels: `(batch,)`; logits: `(batch, num_labels)`

    Example:
        >>> model = EncoderForSequenceClassification(EncoderConfig(num_labels=3))
        >>> model(torch.tensor([[7, 8, 9], [4, 3, 0]])).logits.shape
        torch.Size([2, 3])
    """

    config_class = EncoderConfig
    config: EncoderConfig
    base_model_prefix = "encoder"
    accepts_loss_kwargs = True

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config)
        self.encoder = AutoModel.from_config(config.encoder_config, dtype=torch.get_default_dtype())
        _drop_pooler(self.encoder)
        self.pooling = TokenPooling(config.pooling)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(self.encoder.config.hidden_size, len(config.label_names))
        reads_types = "token_type_ids" in inspect.signature(self.encoder.forward).parameters
        self._reads_types = reads_types and getattr(self.encoder.config, "type_vocab_size", 1) > 1
        self.post_init()

    @classmethod
    def from_encoder(
        cls,
        encoder: str | os.PathLike[str],
        *,
        id2label: dict[int, str] | None = None,
        pooling: EncoderPooling = "mean",
        dropout: float = 0.1,
    ) -> Self:
        """Puts a new classifier on a pretrained encoder.

        Args:
            encoder: folder or hub name of one that transformers' AutoModel knows, with weights in
                safetensors.
            id2label: names of the labels.
            pooling: how hidden states become one vector.
            dropout: before the classifier.

        Raises:
            OSError: if there is no such encoder, or its weights are pickled.
        """
        pretrained = AutoModel.from_pretrained(
            encoder, use_safetensors=True, trust_remote_code=False, dtype="float32"
        )
        labels: dict[str, Any] = {} if id2label is None else {"id2label": id2label}
        config = EncoderConfig(
            encoder=network_fields(pretrained.config), pooling=pooling, dropout=dropout, **labels
        )
        model = cls(config)
        _drop_pooler(pretrained)
        model.encoder.load_state_dict(pretrained.state_dict())
        return model

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> SequenceClassifierOutput:
        """Logits, and the loss if there are labels.

        Args:
            input_ids: tokens.
            attention_mask: 1 at tokens, 0 at padding; all but the padding token if None.
            token_type_ids: 0 at a pair's first text, 1 at its second; encoders without such types
                do not read it.
            labels: the right classes.
            num_items_in_batch: examples in all of an optimisation step, which Trainer gives when it
                accumulates gradients; the loss is the sum over examples divided by it.
        """
        if attention_mask is None:
            attention_mask = (input_ids != self.encoder.config.pad_token_id).long()
        types = {"token_type_ids": token_type_ids} if self._reads_types else {}
        # transformers looks into the mask, and there is nothing in it where only shapes are asked.
        mask = None if attention_mask.is_meta else attention_mask
        hidden = self.encoder(input_ids=input_ids, attention_mask=mask, **types).last_hidden_state
        logits = self.classifier(self.dropout(self.pooling(hidden, attention_mask)))
        loss = classification_loss(self, logits, labels, num_items_in_batch)
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def _init_weights(self, module: nn.Module) -> None:
        """Draws the classifier as torch does; the encoder has drawn its weights itself."""
        if module is self.classifier:
            module.reset_parameters()


class TokenPooling(nn.Module):
    """One vector for each text: the mean of its hidden states, or the first.

    Shape:
        - hidden: `(batch, length, features)`, mask: `(batch, length)`; output: `(batch, features)`
    """

    def __init__(self, kind: EncoderPooling) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """The pooled hidden states; padding counts for nothing."""
        if self.kind == "first":
            return hidden[:, 0]
        weights = mask.unsqueeze(-1).to(hidden)
        return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def _drop_pooler(encoder: PreTrainedModel) -> None:
    """Removes the layer that some encoders have over their first token, which is not read here."""
    part: Any = getattr(encoder, "pooler", None)
    if isinstance(part, nn.Module):
        encoder.pooler = None  # type: ignore[assignment]
