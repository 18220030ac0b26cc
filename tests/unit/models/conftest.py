"""Classifiers and encoder-decoders of a few hundred weights, and batches for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.utils import logging

from ptu_seq.models import (
    PTUForConditionalGeneration,
    PTUForSequenceClassification,
    RNNConfig,
    RNNForConditionalGeneration,
    RNNForSequenceClassification,
    Seq2SeqConfig,
)

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
def perturb() -> Callable[[PTUForSequenceClassification | PTUForConditionalGeneration], None]:
    """Moves gates, candidates and classifiers away from their neutral start."""

    def move(model: PTUForSequenceClassification | PTUForConditionalGeneration) -> None:
        for _, unit in model.units():
            for parameter in unit.parameters():
                nn.init.normal_(parameter, std=0.5)

    return move


@pytest.fixture
def make_parent() -> Callable[..., RNNForConditionalGeneration]:
    """Makes a "trained" encoder-decoder; it leaves the random numbers of the test as they are."""

    def make(**fields: Any) -> RNNForConditionalGeneration:
        tiny: dict[str, Any] = {
            "vocab_size": VOCAB_SIZE,
            "embedding_size": 6,
            "hidden_size": 8,
            "embedding_std": 1.0,
            "num_encoder_layers": 2,
            "num_decoder_layers": 2,
        }
        with torch.random.fork_rng():
            return RNNForConditionalGeneration(Seq2SeqConfig(**tiny | fields)).eval()

    return make


@pytest.fixture
def make_translations() -> Callable[..., dict[str, Tensor]]:
    """Makes 4 random pairs of sentences of unequal lengths, padded on the right."""

    def make(
        vocab_size: int = VOCAB_SIZE, decoder_vocab_size: int | None = None
    ) -> dict[str, Tensor]:
        def side(lengths: list[int], size: int, padding: int) -> Tensor:
            rows = torch.full((len(lengths), max(lengths)), padding)
            for row, length in zip(rows, lengths, strict=True):
                row[: length - 1] = torch.randint(4, size, (length - 1,))
                row[length - 1] = 3
            return rows

        input_ids = side([7, 3, 9, 2], vocab_size, 0)
        return {
            "input_ids": input_ids,
            "attention_mask": (input_ids != 0).long(),
            "labels": side([4, 8, 2, 6], decoder_vocab_size or vocab_size, -100),
        }

    return make


@pytest.fixture
def mapping() -> Tensor:
    """The parent's ids of a child's 12 tokens, of which it does not know two."""
    return torch.tensor([0, 1, 2, 3, 29, -1, 8, 9, 9, -1, 12, 5])


@pytest.fixture
def ptu_child(make_parent, mapping, perturb) -> PTUForConditionalGeneration:
    """A child whose network differs in all it may; its units at four sites."""
    model = PTUForConditionalGeneration.from_source(
        make_parent(tie_embeddings="all"),
        init="random",
        target={
            "vocab_size": 12,
            "embedding_size": 7,
            "hidden_size": 10,
            "tie_embeddings": "decoder",
            "attention": "bahdanau",
            "rnn_type": "gru",
        },
        encoder_mapping=mapping,
        sites=["embedding", "encoder", "decoder", "attention"],
    )
    perturb(model)
    return model.eval()
