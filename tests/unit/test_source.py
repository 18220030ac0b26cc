"""The frozen source and the hash of its weights."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ptu_seq.source import FrozenSource, content_hash


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.BatchNorm1d(3))


def test_it_stays_asleep() -> None:
    model = nn.Sequential(FrozenSource(network()), nn.Linear(3, 2))
    source = model[0]
    x = torch.randn(5, 4)
    expected, before = source(x), content_hash(source)
    model.train()
    source.train()
    assert model.training and not any(module.training for module in source.modules())
    assert torch.equal(source(x), expected)
    assert content_hash(source) == before  # running statistics included


def test_it_takes_no_gradient() -> None:
    trained = network()
    source = FrozenSource(trained)
    source.requires_grad_(True)
    assert source.network is trained
    assert not any(p.requires_grad for p in source.parameters())
    x = torch.randn(5, 4, requires_grad=True)
    assert not source(x).requires_grad
    assert not source(input=x).requires_grad


@pytest.mark.parametrize("grad_mode", [torch.enable_grad, torch.no_grad])
def test_it_computes_what_the_network_does(grad_mode) -> None:
    class Encoder(nn.LSTM):
        def forward(self, *args):
            return super().forward(*args)[0]

    trained, x = Encoder(4, 3), torch.randn(7, 2, 4)
    source = FrozenSource(copy.deepcopy(trained))
    with grad_mode():
        assert torch.equal(source(x), trained(x))


def weights() -> dict[str, Tensor]:
    return {"weight": torch.arange(6.0).view(2, 3), "bias": torch.tensor([0.0, 1.0])}


def hash_of(state: dict[str, Tensor]) -> str:
    module = nn.Module()
    for name, tensor in state.items():
        module.register_parameter(name, nn.Parameter(tensor, tensor.is_floating_point()))
    return content_hash(module)


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"weights": state["weight"], "bias": state["bias"]}


CHANGES: dict[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]] = {
    "name": renamed,
    "dtype": lambda state: {**state, "bias": state["bias"].double()},
    "type of equal bytes": lambda state: {**state, "bias": state["bias"].view(torch.int32)},
    "value": lambda state: {**state, "bias": state["bias"] + torch.tensor([0.0, 1e-7])},
    "sign of zero": lambda state: {**state, "bias": state["bias"] * torch.tensor([-1.0, 1.0])},
    "shape": lambda state: {**state, "weight": state["weight"].view(3, 2)},
    "order of values": lambda state: {**state, "bias": state["bias"].flip(0)},
    "one more": lambda state: {**state, "more": torch.zeros(1)},
    "one less": lambda state: {"weight": state["weight"]},
    "swapped": lambda state: {"weight": state["bias"], "bias": state["weight"]},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_alters_the_hash(change: str) -> None:
    assert hash_of(CHANGES[change](weights())) != hash_of(weights())


def test_equal_contents_have_equal_hashes() -> None:
    backwards = dict(reversed(weights().items()))
    transposed = {**weights(), "weight": weights()["weight"].t().contiguous().t()}
    assert hash_of(backwards) == hash_of(transposed) == hash_of(weights())


def test_the_hash_is_what_saved_models_recorded() -> None:
    assert hash_of(weights()) == "75bf5c9885332d47ab436599e12437c5"


def test_buffers_count() -> None:
    module = nn.BatchNorm1d(3)
    before = content_hash(module)
    module(torch.randn(5, 3))
    assert content_hash(module) != before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_any_precision_can_be_hashed(dtype: torch.dtype) -> None:
    module = nn.Linear(3, 2).to(dtype)
    assert content_hash(module) == content_hash(copy.deepcopy(module))
    assert content_hash(module) != content_hash(module.float().to(torch.float32))
