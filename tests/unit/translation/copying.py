"""Small networks that learn to copy letters: what the tests of training share."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Seq2SeqTrainer

from ptu_seq.data import TokenizerPair
from ptu_seq.models import (
    RNNForConditionalGeneration,
    Seq2SeqConfig,
)
from ptu_seq.translation.batches import Example

WORDS = tuple("abcdefgh")


#: Of gradients; on a GPU training is in bfloat16.
ROUNDING: Any = (
    {"rtol": 0.05, "atol": 1e-3} if torch.cuda.is_available() else {"rtol": 1e-5, "atol": 1e-6}
)


def sentences(count: int, seed: int, longest: int = 5) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, longest))) for _ in range(count)]


def examples(tokenizers: TokenizerPair, texts: list[str]) -> list[Example]:
    """Sentences to be copied."""
    ids = tokenizers.encode_source(texts)
    return [{"input_ids": row, "labels": row} for row in ids]


def new_model(
    tokenizers: TokenizerPair, dropout: float = 0.0, size: int = 16
) -> RNNForConditionalGeneration:
    torch.manual_seed(0)
    return RNNForConditionalGeneration(
        Seq2SeqConfig(
            vocab_size=len(tokenizers.source),
            embedding_size=size,
            hidden_size=size,
            embedding_dropout=dropout,
            hidden_dropout=dropout,
            label_smoothing=0.0,
        )
    )


def weights(model: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def scripted(monkeypatch: pytest.MonkeyPatch, given: list[float]) -> list[Tensor]:
    """Evaluations give these scores; the weights under which they were taken."""
    seen: list[Tensor] = []
    evaluation_loop = Seq2SeqTrainer.evaluation_loop

    def spy(self: Seq2SeqTrainer, *args: Any, **kwargs: Any) -> Any:
        assert self.model is not None
        output = evaluation_loop(self, *args, **kwargs)
        output.metrics["eval_score"] = given[len(seen)]  # type: ignore[index]
        seen.append(weights(self.model).cpu())
        return output

    monkeypatch.setattr(Seq2SeqTrainer, "evaluation_loop", spy)
    return seen
