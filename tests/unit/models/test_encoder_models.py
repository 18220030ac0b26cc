"""Classifiers on pretrained encoders, plain and with units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, BertConfig, BertModel

from ptu_seq.models import (
    EncoderConfig,
    EncoderForSequenceClassification,
    PTUEncoderForSequenceClassification,
    RNNConfig,
    RNNForSequenceClassification,
)
from ptu_seq.models.labels import linear_head
from tests.unit.encoders import KINDS, encoder_source, texts

OTHER = {0: "cold", 1: "mild", 2: "hot"}


def with_units(target: str, source: Any, **options: Any) -> PTUEncoderForSequenceClassification:
    torch.manual_seed(2)
    if target == "encoder":
        return PTUEncoderForSequenceClassification.from_source(
            source, id2label=OTHER, **options
        ).eval()
    return PTUEncoderForSequenceClassification.from_source(
        source,
        init="random",
        id2label=OTHER,
        target=RNNConfig(vocab_size=40, embedding_size=6, hidden_size=5, pad_token_id=1),
        sites={"embedding": "encoder.encoder.layer.1", "pooling": "pooling"},
        **options,
    ).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_over_tokens_is_classified(kind):
    model, batch = encoder_source(kind), texts()
    with torch.no_grad():
        hidden = model.encoder(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).last_hidden_state
        means = [h[m.bool()].mean(0) for h, m in zip(hidden, batch["attention_mask"], strict=True)]
        expected = model.classifier(torch.stack(means))
        outputs = model(**batch)
        alone = model(batch["input_ids"][:1, :5])  # the mask is told by the padding token
    torch.testing.assert_close(outputs.logits, expected)
    torch.testing.assert_close(alone.logits[0], outputs.logits[0])
    torch.testing.assert_close(
        outputs.loss, torch.nn.functional.cross_entropy(outputs.logits, batch["labels"])
    )


def test_an_encoder_is_taken_as_it_was_saved(tmp_path: Path):
    torch.manual_seed(0)
    small = {k: v for k, v in KINDS["bert"].items()}
    bert = BertModel(BertConfig(**small)).eval()
    bert.save_pretrained(tmp_path)
    model = EncoderForSequenceClassification.from_encoder(
        tmp_path, id2label=OTHER, pooling="first"
    ).eval()
    batch = texts()
    with torch.no_grad():
        hidden = bert(batch["input_ids"], batch["attention_mask"]).last_hidden_state
        logits = model(batch["input_ids"], batch["attention_mask"]).logits
        torch.testing.assert_close(logits, model.classifier(hidden[:, 0]))
    assert not [name for name, _ in model.named_parameters() if "pooler" in name]
    assert AutoModel.from_pretrained(tmp_path).config.vocab_size == 40


def test_pickled_weights_are_refused(tmp_path: Path):
    bert = BertModel(BertConfig(**KINDS["bert"]))
    bert.config.save_pretrained(tmp_path)
    torch.save(bert.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        EncoderForSequenceClassification.from_encoder(tmp_path)


@pytest.mark.parametrize("field", [{"pooling": "max"}, {"dropout": 2.0}])
def test_a_shape_out_of_range_is_refused(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        EncoderConfig(**field)


@pytest.mark.parametrize("kind", KINDS)
def test_units_stand_after_each_layer(kind):
    model = PTUEncoderForSequenceClassification.from_source(encoder_source(kind), id2label=OTHER)
    assert [site.rpartition(".")[2] for site, _ in model.units()] == ["0", "1"]
    assert model(**texts()).logits.shape == (6, 3)


def test_units_stand_on_the_logits_too_where_the_labels_are_the_sources():
    model = PTUEncoderForSequenceClassification.from_source(encoder_source())
    assert [site for site, _ in model.units()][-1] == "classifier"


@pytest.mark.parametrize("target", ["encoder", "lstm"])
def test_pinned_to_the_target_it_is_the_target_to_the_bit(target):
    model, batch = with_units(target, encoder_source()), texts()
    plain_class: Any = (
        EncoderForSequenceClassification if target == "encoder" else RNNForSequenceClassification
    )
    plain = plain_class(model.config.target_config).eval()
    weights = {n: w for n, w in model.target.state_dict().items() if not n.startswith("ptu.")}
    plain.load_state_dict(weights)
    with torch.no_grad():
        for parameter in [
            *plain.parameters(),
            *(p for n, p in model.target.named_parameters() if "ptu" not in n),
        ]:
            parameter.mul_(1.5)  # away from the source
        assert torch.equal(model.pin("target")(**batch).logits, plain(**batch).logits)
        assert not torch.equal(model.unpin()(**batch).logits, plain(**batch).logits)


def test_pinned_to_the_source_it_is_the_source_to_the_bit():
    source: Any = encoder_source()
    batch = texts()
    model: Any = with_units("encoder", source)
    with torch.no_grad():
        for parameter in model.target.encoder.parameters():
            parameter.add_(1.0)
        hidden = source.encoder(batch["input_ids"], batch["attention_mask"]).last_hidden_state
        expected = model.target.classifier(source.pooling(hidden, batch["attention_mask"]))
        assert torch.equal(model.pin("frozen")(**batch).logits, expected)


def test_a_copy_of_the_source_starts_as_the_source():
    source: Any = encoder_source()
    batch = texts()
    model: Any = with_units("encoder", source, update_bias=-2.0)
    with torch.no_grad():
        hidden = source.encoder(batch["input_ids"], batch["attention_mask"]).last_hidden_state
        expected = model.target.classifier(source.pooling(hidden, batch["attention_mask"]))
        torch.testing.assert_close(model(**batch).logits, expected)


@pytest.mark.parametrize("target", ["encoder", "lstm"])
def test_a_saved_model_is_the_same_to_the_bit(target, tmp_path: Path):
    source, batch = encoder_source(), texts()
    model = with_units(target, source)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    before = model(**batch).logits
    model.save_pretrained(tmp_path / "whole")
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "whole").eval()
    assert isinstance(loaded, PTUEncoderForSequenceClassification)
    assert torch.equal(loaded(**batch).logits, before)
    assert not any(p.requires_grad for p in loaded.source.parameters())

    model.save_pretrained(tmp_path / "added", include_source=False)
    load = PTUEncoderForSequenceClassification.from_pretrained
    assert torch.equal(load(tmp_path / "added", source=source).eval()(**batch).logits, before)
    with pytest.raises(ValueError, match="saved without its source"):
        load(tmp_path / "added")
    with torch.no_grad():
        linear_head(source).weight.add_(1.0)
    with pytest.raises(ValueError, match="was given a source with the content hash"):
        load(tmp_path / "added", source=source)


@pytest.mark.parametrize("target", ["encoder", "lstm"])
def test_the_source_stays_and_all_else_learns(target):
    model, batch = with_units(target, encoder_source()).train(), texts()
    model(**batch).loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith("source."), name
    assert not model.source.network.training


@pytest.mark.parametrize("target", ["encoder", "lstm"])
def test_gates_are_those_of_tokens(target):
    model, batch = with_units(target, encoder_source()).train(), texts()
    seen: dict[str, Any] = {}
    model.gates(
        batch["input_ids"],
        on_gates=lambda site, gates: seen.update({site: gates.update}),
        attention_mask=batch["attention_mask"],
    )
    assert set(seen) == {site for site, _ in model.units()}
    tokens = int(batch["attention_mask"].sum())
    for site, update in seen.items():
        assert update.shape[0] == (6 if site == "pooling" else tokens)
        assert 0 <= float(update.min()) and float(update.max()) <= 1
    assert model.training
    told = dict(seen)
    model.gates(batch["input_ids"], on_gates=lambda site, gates: seen.update({site: gates.update}))
    assert all(torch.equal(told[site], seen[site]) for site in told)  # by the padding token
