"""Training with units: what learns, what does not, and what is freed."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn

from ptu_seq.sites import attach
from tests.unit.sites.networks import NETWORKS, Network, Perceptron, loss, perturb


def test_target_and_units_learn_and_the_source_does_not(network: Network):
    target, source = network.build(4).train(), network.build(4)
    batch = network.batch(4)
    units = attach(target, source, network.sites, batch)
    theirs = {name: x.clone() for name, x in source.state_dict().items()}
    own = {name: x.clone() for name, x in target.named_parameters() if x.requires_grad}
    optimizer = torch.optim.SGD([p for p in target.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        loss(target, batch).backward()
        optimizer.step()
    for name, x in source.state_dict().items():
        assert torch.equal(x, theirs[name]), name
    for name, _ in units.units.named_parameters():
        assert not torch.equal(units.units.get_parameter(name), own[f"ptu.units.{name}"]), name
    assert not torch.equal(
        next(target.get_submodule(network.head).parameters()),
        next(x for name, x in own.items() if name.startswith(network.head)),
    )


def test_source_stays_asleep_in_training():
    torch.manual_seed(0)
    target, source = Perceptron(4), Perceptron(4)
    target.trunk[2] = nn.Identity()  # only the source has dropout
    units = attach(target, source, "trunk.2", torch.randn(2, 5))
    target.train().requires_grad_(True)
    x = torch.randn(8, 5)
    with units.pinned("frozen"):
        assert torch.equal(target(x), target(x))
        loss(target, {"x": x}).backward()
    assert not source.training
    assert all(p.grad is None and not p.requires_grad for p in source.parameters())


def test_source_runs_once_a_batch(network: Network):
    target, source = network.build(4), network.build(4)
    batch = network.batch(3)
    attach(target, source, network.sites, batch)
    calls = []
    source.register_forward_hook(lambda *_: calls.append(1))
    loss(target, batch)
    assert len(calls) == 1


def test_recordings_are_freed_after_the_step(network: Network):
    target, source = network.build(4), network.build(4)
    batch = network.batch(3)
    units = attach(target, source, network.sites, batch)
    value = loss(target, batch)
    (recording,) = list(units._kept)
    assert not recording.is_empty
    value.backward()
    assert recording.is_empty


def test_recordings_go_with_a_pass_that_has_no_backward():
    target, source = Perceptron(4), Perceptron(4)
    x = torch.randn(3, 5)
    units = attach(target, source, "trunk.0", x)
    output = target(x)
    recording = weakref.ref(next(iter(units._kept)))
    del output
    gc.collect()
    assert recording() is None
    with torch.no_grad():
        target(x)
    assert not units._kept and units._running is None


def enable_checkpointing(model: nn.Module, use_reentrant: bool) -> None:
    """By whichever name transformers has for it."""
    enable = getattr(model, "activation_checkpointing_enable", None)
    enable = enable or model.gradient_checkpointing_enable
    enable({"use_reentrant": use_reentrant})  # type: ignore[operator]


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_gradient_checkpointing_gives_the_same_gradients(use_reentrant: bool):
    torch.manual_seed(0)
    network = NETWORKS["bert"]
    target, source = network.build(4).eval(), network.build(4)
    batch = network.batch(4)
    units = attach(target, source, network.sites, batch)
    perturb(units.units)
    loss(target, batch).backward()
    plain = {name: p.grad for name, p in target.named_parameters()}
    target.zero_grad()
    enable_checkpointing(target, use_reentrant)
    loss(target.train(), batch)  # dropout of 0.1 in training, but the pass must run
    for module in target.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    loss(target, batch).backward()
    torch.testing.assert_close({name: p.grad for name, p in target.named_parameters()}, plain)


def test_gates_are_reported(network: Network):
    target, source = network.build(4), network.build(4)
    batch = network.batch(3)
    units = attach(target, source, network.sites, batch)
    seen = {}
    with units.reporting(lambda site, gates: seen.update({site: gates})):
        loss(target, batch)
    assert list(seen) == sorted(units.sites, key=list(seen).index) and set(seen) == set(units.sites)
    for gates in seen.values():
        for gate in gates:
            assert (gate > 0).all() and (gate < 1).all()
    assert units.on_gates is None


def test_half_precision():
    torch.manual_seed(0)
    target, source = Perceptron(4).bfloat16(), Perceptron(4).bfloat16()
    x = torch.randn(3, 5, dtype=torch.bfloat16)
    units = attach(target, source, "trunk.0", x)
    assert {p.dtype for p in units.parameters()} == {torch.bfloat16}
    target(x).sum().backward()


def test_autocast():
    torch.manual_seed(0)
    target, source = NETWORKS["images"].build(4), NETWORKS["images"].build(4)
    batch = NETWORKS["images"].batch(3)
    attach(target, source, "trunk.*", batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss(target, batch).backward()
    assert all(p.grad is not None for p in target.parameters() if p.requires_grad)
