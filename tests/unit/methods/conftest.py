"""A small "trained" source and examples for it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ptu_seq.models import RNNConfig, RNNForSequenceClassification


@pytest.fixture
def source() -> RNNForSequenceClassification:
    config = RNNConfig(
        vocab_size=30,
        embedding_size=6,
        hidden_size=5,
        num_hidden_layers=2,
        pooling="attention",
        embedding_dropout=0.4,
        hidden_dropout=0.4,
        embedding_std=1.0,
        id2label={0: "negative", 1: "positive"},
    )
    return RNNForSequenceClassification(config).eval()


@pytest.fixture
def batch() -> dict[str, Tensor]:
    return {
        "input_ids": torch.randint(1, 30, (6, 8)),
        "attention_mask": torch.ones(6, 8, dtype=torch.long),
        "labels": torch.tensor([0, 1, 0, 1, 1, 1]),
    }
