"""Small random encoders of several kinds, as sources."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig

from ptu_seq.models import EncoderConfig, EncoderForSequenceClassification
from ptu_seq.models.attached_config import network_fields

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 40}
BERT_LIKE = {**SIZES, "intermediate_size": 24, "max_position_embeddings": 32}
KINDS: dict[str, dict[str, Any]] = {
    "bert": BERT_LIKE,
    "roberta": BERT_LIKE,
    "electra": {**BERT_LIKE, "embedding_size": 12},
    "mpnet": BERT_LIKE,
    "distilbert": {"dim": 16, "hidden_dim": 24, "n_layers": 2, "n_heads": 2, "vocab_size": 40},
}


def encoder_source(
    kind: str = "bert", labels: tuple[str, ...] = ("no", "yes")
) -> EncoderForSequenceClassification:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **KINDS[kind], pad_token_id=1)
    network = EncoderForSequenceClassification(
        EncoderConfig(encoder=network_fields(config), id2label=dict(enumerate(labels)))
    )
    with torch.no_grad():  # transformers draws vectors so short that all texts are alike
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network.eval()


def texts(count: int = 6, length: int = 8) -> dict[str, Tensor]:
    torch.manual_seed(1)
    mask = torch.ones(count, length, dtype=torch.long)
    mask[0, 5:] = 0
    ids = torch.randint(2, 40, (count, length)).masked_fill(mask == 0, 1)
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.arange(count) % 2}
