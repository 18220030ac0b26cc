"""Saving and loading an encoder-decoder of two networks, with its parent or without."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from ptu_seq.models import PTUForConditionalGeneration, PTUSeq2SeqConfig
from ptu_seq.source import content_hash


@pytest.mark.parametrize("loader", [PTUForConditionalGeneration, AutoModelForSeq2SeqLM])
def test_reloaded_is_the_same(loader, ptu_child, make_translations, tmp_path):
    ptu_child.save_pretrained(tmp_path)
    loaded = loader.from_pretrained(tmp_path)
    batch = make_translations(12, 30)
    assert type(loaded) is type(ptu_child) and not loaded.training
    assert torch.equal(loaded(**batch).logits, ptu_child(**batch).logits)
    for name in ("encoder_mapping", "decoder_mapping"):
        assert torch.equal(getattr(loaded, name), getattr(ptu_child, name))
    assert loaded.decoder.output.weight is loaded.decoder.embedding.target.weight
    parent = loaded.source.network
    assert parent.decoder.output.weight is parent.encoder.embedding.weight
    trained = [{n for n, p in m.named_parameters() if p.requires_grad} for m in (loaded, ptu_child)]
    assert trained[0] == trained[1] and not any(n.startswith("source.") for n in trained[0])
    texts = [
        m.generate(batch["input_ids"], num_beams=3, max_new_tokens=6) for m in (loaded, ptu_child)
    ]
    assert torch.equal(*texts)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".md", ".safetensors"}


def test_saved_without_its_parent(ptu_child, make_parent, make_translations, tmp_path):
    ptu_child.save_pretrained(tmp_path / "bare", include_source=False)
    ptu_child.source.network.save_pretrained(tmp_path / "parent")
    with pytest.raises(ValueError, match=r"without its source .*source="):
        PTUForConditionalGeneration.from_pretrained(tmp_path / "bare")
    with pytest.raises(ValueError, match="content hash"):
        PTUForConditionalGeneration.from_pretrained(tmp_path / "bare", source=make_parent())
    batch = make_translations(12, 30)
    for given in (ptu_child.source.network, tmp_path / "parent"):
        loaded = PTUForConditionalGeneration.from_pretrained(tmp_path / "bare", source=given)
        assert torch.equal(loaded(**batch).logits, ptu_child(**batch).logits)


def test_the_configuration_survives(ptu_child, tmp_path):
    ptu_child.config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(loaded, PTUSeq2SeqConfig)
    assert loaded.target_config.shape == ptu_child.target_config.shape
    assert loaded.source_config.shape == ptu_child.source.network.config.shape
    assert loaded.sites == ["embedding", "encoder", "decoder", "attention"]
    assert loaded.is_encoder_decoder and loaded.eos_token_id == 3


def test_copies_are_independent(ptu_child, make_translations):
    batch = make_translations(12, 30)
    expected = ptu_child(**batch).logits
    twin = copy.deepcopy(ptu_child)
    assert torch.equal(twin(**batch).logits, expected)
    assert twin.decoder.output.weight is twin.decoder.embedding.target.weight
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert torch.equal(ptu_child(**batch).logits, expected)


def test_making_a_child_leaves_its_parent_alone(make_parent):
    parent = make_parent().train()
    before = content_hash(parent)
    model = PTUForConditionalGeneration.from_source(parent)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert content_hash(parent) == before and parent.training
    assert all(p.requires_grad for p in parent.parameters())
