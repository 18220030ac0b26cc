"""The kernels for GPUs, on one where it is at hand and else by Triton's interpreter."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ptu_seq.nn import fused, recurrence_backend
from tests.unit.nn.test_recurrence import BAREST, RICHEST, results

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True)
def used(monkeypatch):
    """The steps that kernels were made for."""
    from ptu_seq.nn.fused_triton import with_kernels

    kinds: list[str] = []

    def watched(steps):
        by_kernel = with_kernels(steps)
        kinds.append(type(by_kernel[0]).__name__)
        return by_kernel

    monkeypatch.setattr(fused, "_arithmetic", lambda x: watched)
    return kinds


PADDED = replace(RICHEST, num_layers=1, bidirectional=False, packed=False, candidate="relu")


@pytest.mark.parametrize("case", [RICHEST, PADDED, BAREST], ids=["richest", "padded", "barest"])
def test_kernels_are_the_loop(kind, case, used):
    """Values and gradients."""
    with torch.device(DEVICE):
        layer = case.layer(kind)
        inputs, tensors = case.inputs(kind)
    leaves = [tensor for tensor in (*tensors, *layer.parameters()) if tensor.requires_grad]
    with recurrence_backend("reference"):
        expected = results(layer, inputs, leaves)
    assert not used
    with recurrence_backend("fused"):
        got = results(layer, inputs, leaves)
    assert len({name for name in used if "Back" in name}) == 2 and "_UnitStep" in used
    for value, right in zip(got, expected, strict=True):
        assert (value - right).norm() <= 1e-10 * right.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kernels_keep_types(kind, dtype):
    with torch.device(DEVICE):
        layer = kind.gated(4, 8, source_hidden_size=6, level="step", dtype=dtype)
        x, s = torch.randn(3, 2, 4, dtype=dtype), torch.randn(3, 2, 6, dtype=dtype)

    def run() -> list[Tensor]:
        layer.zero_grad()
        output, state = layer(x, [s])
        output.float().square().sum().backward()
        return [output, *kind.parts(state), *(p.grad for p in layer.parameters())]

    with recurrence_backend("fused"):
        got = run()
    with recurrence_backend("reference"):
        expected = run()
    atol, rtol = (1e-5, 1e-4) if dtype == torch.float32 else (0.05, 0.05)
    for value, right in zip(got, expected, strict=True):
        torch.testing.assert_close(value, right, atol=atol, rtol=rtol)


def test_equal_twins_stay_equal_to_the_bit_by_kernels(kind):
    """An interpolation between equals is exact, whatever the gate."""
    with torch.device(DEVICE):
        layer = kind.gated(4, 8, source_hidden_size=8, level="step")
        x = torch.randn(3, 2, 4)
        nothing = torch.zeros(3, 2, 8)
    unit = layer.units[0][0]
    with torch.no_grad(), recurrence_backend("fused"):
        unit.bias[8:16] = -80.0  # An update gate near 0: the target alone.
        target, _ = layer(x, [nothing])
        unit.bias[8:16] = 0.3
        assert torch.equal(layer(x, [target])[0], target)
