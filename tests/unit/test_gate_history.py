"""Gates noted while a network is trained, which goes on as if nobody looked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.trainer_callback import TrainerCallback

from ptu_seq.batches import Examples, pad
from ptu_seq.data import train_tokenizer
from ptu_seq.gate_history import GateHistory
from ptu_seq.models import PTUForSequenceClassification, RNNConfig, RNNForSequenceClassification
from ptu_seq.training import Trained, TrainingOptions, train

Fit = Callable[..., tuple[Trained, PTUForSequenceClassification]]


@pytest.fixture(scope="module")
def examples() -> Examples:
    from datasets import Dataset

    draw = torch.Generator().manual_seed(0)
    ids = [torch.randint(4, 20, (length,), generator=draw).tolist() for length in (3, 9, 5, 7) * 6]
    rows = {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]}
    return Examples(Dataset.from_dict({**rows, "labels": [row[0] % 2 for row in ids]}))


@pytest.fixture(scope="module")
def batch(examples: Examples) -> dict[str, Tensor]:
    rows = pad(examples.rows[:8], 0)
    return {name: rows[name] for name in ("input_ids", "attention_mask")}


@pytest.fixture
def fit(tmp_path: Path, examples: Examples) -> Fit:
    """Trains a small network with dropout, and units whose gates drop."""

    def fit(*callbacks: TrainerCallback) -> tuple[Trained, PTUForSequenceClassification]:
        torch.manual_seed(0)
        source = RNNForSequenceClassification(
            RNNConfig(vocab_size=20, embedding_size=6, hidden_size=6, hidden_dropout=0.3)
        )
        model = PTUForSequenceClassification.from_source(source, gate_dropout=0.3)
        trained = train(
            model,
            [{"params": [p for p in model.parameters() if p.requires_grad], "lr": 0.01}],
            train_tokenizer(["a b c d"], 20),
            examples,
            examples,
            TrainingOptions(batch_size=8, min_steps=12, max_steps=12, evaluations=4, patience=99),
            folder=tmp_path / "run",
            seed=0,
            callbacks=callbacks,
        )
        return trained, model.cpu()

    return fit


def test_every_evaluation_is_noted_and_no_number_changes(fit: Fit, batch: dict[str, Tensor]):
    history = GateHistory(batch)
    watched, plain = fit(history), fit()
    assert watched[0].validation_score == plain[0].validation_score
    weights = plain[1].state_dict()
    assert all(torch.equal(w, weights[name]) for name, w in watched[1].state_dict().items())
    assert [record["step"] for record in history.records] == [3, 6, 9, 12]
    for record in history.records:
        assert [site["site"] for site in record["sites"]] == [
            "embedding",
            "layer0.forward",
            "classifier",
        ]
    assert len({record["sites"][1]["update"] for record in history.records}) == 4


def test_what_is_noted_is_the_mean_over_tokens(batch: dict[str, Tensor]):
    torch.manual_seed(0)
    source = RNNForSequenceClassification(RNNConfig(vocab_size=20, embedding_size=6, hidden_size=6))
    model = PTUForSequenceClassification.from_source(source)
    expected: dict[str, Any] = {}
    model.eval().gates(**batch, on_gates=expected.__setitem__)
    modes = {name: module.training for name, module in model.train().named_modules()}
    history, state = GateHistory(batch), torch.get_rng_state()
    step = type("State", (), {"global_step": 5})()
    history.on_evaluate(None, step, None, model=model)  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), state)
    assert {name: module.training for name, module in model.named_modules()} == modes
    (record,) = history.records
    assert record["step"] == 5
    for site in record["sites"]:
        gates = expected[site["site"]]
        assert site["update"] == pytest.approx(gates.update.mean().item(), rel=1e-6)
        assert site["fine_tune"] == pytest.approx(gates.fine_tune.mean().item(), rel=1e-6)
