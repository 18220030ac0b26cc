"""A small "trained" source and examples for it, and parents of translators."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ptu_seq.models import RNNConfig, RNNForSequenceClassification
from tests.unit.translation_family import Family, make_family


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


@pytest.fixture(scope="module", params=["match", "joint"])
def family(request: pytest.FixtureRequest) -> Family:
    """A parent, and the words of a child with a vocabulary of its own or a joint one."""
    return make_family(request.param)
