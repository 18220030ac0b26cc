"""Classifiers of a few hundred weights, and batches for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.utils import logging

from ptu_seq.models import PTUForSequenceClassification, RNNConfig, RNNForSequenceClassification

VOCAB_SIZE = 30
POOLINGS = ["max", "mean", "last", "attention"]


@pytest.fixture(autouse=True, scope="session")
def no_progress_bars() -> Iterator[None]:
    logging.disable_progress_bar()
    yield
    logging.enable_progress_bar()


@pytest.fixture(params=["lstm", "gru"])
def rnn_type(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["layer", "step"])
def level(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[False, True], ids=["forward", "bidirectional"])
def bidirectional(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture(params=POOLINGS)
def pooling(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[False, True], ids=["single", "pair"])
def is_pair(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture
def shape(rnn_type: str, bidirectional: bool, pooling: str, is_pair: bool) -> dict[str, Any]:
    """Every shape of network."""
    return {
        "rnn_type": rnn_type,
        "bidirectional": bidirectional,
        "pooling": pooling,
        "is_pair": is_pair,
    }


@pytest.fixture
def make_source() -> Callable[..., RNNForSequenceClassification]:
    """Makes a "trained" network; it leaves the random numbers of the test as they are."""

    def make(**fields: Any) -> RNNForSequenceClassification:
        tiny: dict[str, Any] = {
            "vocab_size": VOCAB_SIZE,
            "embedding_size": 6,
            "hidden_size": 5,
            "embedding_std": 1.0,
            "num_hidden_layers": 2,
            "id2label": {0: "negative", 1: "positive"},
        }
        with torch.random.fork_rng():
            return RNNForSequenceClassification(RNNConfig(**tiny | fields)).eval()

    return make


@pytest.fixture
def make_batch() -> Callable[..., dict[str, Tensor]]:
    """Makes 4 random examples of unequal lengths, padded on the right."""

    def make(is_pair: bool = False) -> dict[str, Tensor]:
        lengths = torch.tensor([9, 4, 7, 2]).unsqueeze(1)
        places = torch.arange(9).expand(4, 9)
        mask = (places < lengths).long()
        batch = {
            "input_ids": torch.randint(1, VOCAB_SIZE, (4, 9)) * mask,
            "attention_mask": mask,
        }
        if is_pair:
            batch["token_type_ids"] = (places >= (lengths + 1) // 2).long() * mask
        return batch

    return make


@pytest.fixture
def perturb() -> Callable[[PTUForSequenceClassification], None]:
    """Moves gates, candidates and classifiers away from their neutral start."""

    def move(model: PTUForSequenceClassification) -> None:
        for _, unit in model.units():
            for parameter in unit.parameters():
                nn.init.normal_(parameter, std=0.5)

    return move
