"""What each method on a pretrained encoder starts from, trains and leaves alone."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from ptu_seq.batches import pad
from ptu_seq.errors import UserError
from ptu_seq.methods import Task
from ptu_seq.methods.encoders import ENCODER_METHODS, get_encoder_method
from ptu_seq.models import PTUEncoderForSequenceClassification
from ptu_seq.training import TrainingOptions, fit
from tests.unit.encoders import KINDS, encoder_source, texts

OTHER = Task({0: "cold", 1: "hot"}, {})
OPTIONS = TrainingOptions(batch_size=3, min_steps=8, max_steps=8, evaluations=2)


def train(model: PreTrainedModel, name: str, setting: Any, folder: Any) -> None:
    batch = texts()
    rows: Any = [{key: batch[key][i] for key in batch} for i in range(6)]
    fit(
        model,
        get_encoder_method(name).parameter_groups(model, setting),
        rows,
        rows,
        OPTIONS,
        collate=lambda r: pad(r, 1),
        sampling="group_by_length",
        folder=folder,
        seed=0,
    )
    model.cpu()  # from the GPU, where there is one


def learned(name: str) -> set[str]:
    """Words of which each trained weight's name has one."""
    return {
        "linear_probe": {"classifier"},
        "lora": {"classifier", "lora_"},
    }.get(name, {""})


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", ENCODER_METHODS)
def test_a_method_trains_what_it_should_and_the_source_stays(name, number, tmp_path):
    source, method = encoder_source(), get_encoder_method(name)
    before = {n: w.clone() for n, w in source.state_dict().items()}
    setting = method.grid[number]
    torch.manual_seed(3)
    model = method.build(source, OTHER, setting)
    start = {n: p.detach().clone() for n, p in model.named_parameters()}
    train(model, name, setting, tmp_path)
    for n, parameter in model.named_parameters():
        frozen = n.startswith("source.") or not any(word in n for word in learned(name))
        assert parameter.requires_grad != frozen, n
        assert torch.equal(parameter, start[n]) or not frozen, n
    changed = [n for n, p in model.named_parameters() if not torch.equal(p, start[n])]
    assert any("classifier" in n for n in changed)
    assert name == "linear_probe" or any("classifier" not in n for n in changed)
    assert all(torch.equal(before[n], w) for n, w in source.state_dict().items())


@pytest.mark.parametrize("name", ["fine_tune", "lora", "ptu"])
def test_a_method_starts_from_the_encoder(name):
    """Also at the logits, once the classifiers are the same."""
    source, batch, method = encoder_source(), texts(), get_encoder_method(name)
    same = Task({0: "no", 1: "yes"}, {})  # the source's labels, and so its classifier
    model = method.build(source, same, method.grid[0]).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(**batch).logits, source(**batch).logits)


def test_a_probe_starts_at_zero():
    method = get_encoder_method("linear_probe")
    model = method.build(encoder_source(), OTHER, method.grid[0]).train()
    assert float(model(**texts()).logits.detach().abs().max()) == 0
    train_features, eval_features = (
        m.encoder(texts()["input_ids"]).last_hidden_state for m in (model.train(), model.eval())
    )
    assert torch.equal(train_features, eval_features)  # no dropout


@pytest.mark.parametrize("kind", KINDS)
def test_lora_knows_the_queries_and_values(kind):
    method = get_encoder_method("lora")
    model = method.build(encoder_source(kind), OTHER, method.grid[0])
    trained = {n for n, p in model.named_parameters() if p.requires_grad and "lora_" in n}
    assert len(trained) == 2 * 2 * 2  # two layers, queries and values, two factors


def test_an_lstm_draws_on_the_encoder():
    method = get_encoder_method("ptu_lstm")
    model = method.build(encoder_source(), OTHER, method.grid[0])
    assert isinstance(model, PTUEncoderForSequenceClassification)
    assert [site for site, _ in model.units()] == ["embedding", "pooling"]
    plain = get_encoder_method("scratch_lstm").build(encoder_source(), OTHER, {})
    assert model.config.target_config.to_dict()["hidden_size"] == plain.config.hidden_size


def test_lora_asks_for_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    method = get_encoder_method("lora")
    with pytest.raises(UserError, match=r"pip install 'ptu-seq\[encoders\]'"):
        method.build(encoder_source(), OTHER, method.grid[0])


def test_unknown_methods_are_named():
    with pytest.raises(UserError, match="'lorra' .*did you mean 'lora'.*accepted: linear_probe"):
        get_encoder_method("lorra")
