"""What must hold to the bit, whatever the networks are."""

from __future__ import annotations

import copy
from typing import cast

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import BertForSequenceClassification, GPT2Config, GPT2LMHeadModel

from ptu_seq.sites import attach, detach
from tests.unit.sites.networks import NETWORKS, Network, logits, loss, perturb


def test_pinned_target_is_the_target_alone(network: Network):
    target, source = network.build(6).eval(), network.build(4)
    batch = network.batch(3)
    alone = logits(target, batch)
    units = attach(target, source, network.sites, batch)
    perturb(units.units)
    assert not torch.equal(logits(target, batch), alone)
    with units.pinned("target"):
        assert torch.equal(logits(target, batch), alone)


def test_pinned_frozen_is_the_source_under_the_head(network: Network):
    target, source = network.build(4).eval(), network.build(4).eval()
    batch = network.batch(3)
    head = target.get_submodule(network.head)
    head.load_state_dict(source.get_submodule(network.head).state_dict())
    alone = logits(source, batch)
    units = attach(target, source, network.sites, batch)
    assert not torch.equal(logits(target, batch), alone)
    assert torch.equal(logits(target.eval(), batch), logits(target, batch))
    with units.pinned("frozen"):
        assert torch.equal(logits(target, batch), alone)


def test_copied_target_starts_as_the_source(network: Network):
    source = network.build(4).eval()
    target = copy.deepcopy(source)
    batch = network.batch(3)
    alone = logits(source, batch)
    units = attach(target, source, network.sites, batch, candidate_init="identity")
    assert torch.equal(logits(target, batch), alone)
    perturb(units.units)
    assert not torch.equal(logits(target, batch), alone)


def test_detached_target_is_what_it_was(network: Network):
    target, source = network.build(4).eval(), network.build(4)
    batch = network.batch(3)
    alone, names = logits(target, batch), list(target.state_dict())
    attach(target, source, network.sites, batch)
    assert list(target.state_dict()) != names
    detach(target)
    assert torch.equal(logits(target, batch), alone)
    assert list(target.state_dict()) == names


def test_added_weights_alone_restore_the_model(network: Network, tmp_path):
    torch.manual_seed(1)
    target, source = network.build(4).eval(), network.build(4)
    other = copy.deepcopy(target)
    batch = network.batch(3)
    units = attach(target, source, network.sites, batch)
    perturb(units.units)
    units.save(tmp_path)
    again = attach(other, copy.deepcopy(source), network.sites, batch)
    assert not torch.equal(logits(other, batch), logits(target, batch))
    again.load(tmp_path)
    assert torch.equal(logits(other, batch), logits(target, batch))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["units.json", "units.safetensors"]


def test_state_dict_has_target_and_units_and_no_source(network: Network):
    target, source = network.build(4).eval(), network.build(4)
    batch = network.batch(3)
    own = set(target.state_dict())
    units = attach(target, source, network.sites, batch)
    perturb(units.units)
    state = target.state_dict()
    assert set(state) == own | {f"ptu.units.{name}" for name in units.units.state_dict()}
    other = network.build(4).eval()
    attach(other, copy.deepcopy(source), network.sites, batch)
    assert not torch.equal(logits(other, batch), logits(target, batch))
    keys = other.load_state_dict(state)
    assert not keys.missing_keys and not keys.unexpected_keys
    assert torch.equal(logits(other, batch), logits(target, batch))


def test_a_copy_stands_by_itself(network: Network):
    target, source = network.build(4).eval(), network.build(4)
    batch = network.batch(3)
    attach(target, source, network.sites, batch)
    before = logits(target, batch)
    loss(target, batch)  # a pass that waits for its backward pass is no part of a copy
    other = copy.deepcopy(target)
    assert torch.equal(logits(other, batch), before)
    perturb(other)
    assert not torch.equal(logits(other, batch), before)
    assert torch.equal(logits(target, batch), before)


@pytest.mark.parametrize(
    "kind", ["perceptron", "images", "sentences", pytest.param("bert", marks=pytest.mark.slow)]
)
def test_compiled_agrees(kind: str):
    torch.manual_seed(0)
    network = NETWORKS[kind]
    target, source = network.build(4).eval(), network.build(4)
    batch = network.batch(3)
    units = attach(target, source, network.sites, batch)
    perturb(units.units)
    torch._dynamo.reset()
    compiled = cast(nn.Module, torch.compile(target, backend="aot_eager"))  # no C compiler
    for _ in range(2):
        torch.testing.assert_close(logits(compiled, batch), logits(target, batch))
    loss(compiled, batch).backward()
    gradients = [p.grad for p in units.units.parameters()]
    units.units.zero_grad()
    loss(target, batch).backward()
    torch.testing.assert_close(gradients, [p.grad for p in units.units.parameters()])


def test_a_copy_is_detached_by_itself():
    network = NETWORKS["perceptron"]
    target, source = network.build(4).eval(), network.build(4)
    batch = network.batch(3)
    alone = logits(target, batch)
    attach(target, source, network.sites, batch)
    gated = logits(target, batch)
    other = copy.deepcopy(target)
    detach(other)
    assert torch.equal(logits(other, batch), alone)
    assert torch.equal(logits(target, batch), gated)
    detach(target)
    assert torch.equal(logits(target, batch), alone)


def test_save_pretrained_leaves_the_source_out(tmp_path):
    network = NETWORKS["bert"]
    target, source = network.build(4).eval(), network.build(4)
    batch = network.batch(3)
    alone = logits(target, batch)
    units = attach(target, source, network.sites, batch)
    perturb(units.units)
    assert isinstance(target, BertForSequenceClassification)
    target.save_pretrained(tmp_path)
    names = load_file(tmp_path / "model.safetensors").keys()
    assert any(name.startswith("ptu.units.") for name in names)
    assert not any("source_networks" in name for name in names)
    plain = BertForSequenceClassification.from_pretrained(tmp_path).eval()
    assert torch.equal(logits(plain, batch), alone)
    attach(plain, source, network.sites, batch).units.load_state_dict(units.units.state_dict())
    assert torch.equal(logits(plain, batch), logits(target, batch))


def test_generation():
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=13, n_positions=16, n_embd=8, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=1
    )
    target, source = GPT2LMHeadModel(config).eval(), GPT2LMHeadModel(config).eval()
    prompt = torch.tensor([[3, 4, 5], [6, 7, 8]])
    options = {"do_sample": False, "max_new_tokens": 6, "pad_token_id": 1}
    alone = target.generate(prompt, **options), source.generate(prompt, **options)
    units = attach(target, source, "transformer.ln_f", prompt)
    target.lm_head.weight = nn.Parameter(source.lm_head.weight.detach().clone())
    with units.pinned("frozen"):
        assert torch.equal(target.generate(prompt, use_cache=False, **options), alone[1])
    with pytest.raises(RuntimeError, match="generate with use_cache=False"):
        target.generate(prompt, **options)
    detach(target)
    assert not torch.equal(alone[0], alone[1])
