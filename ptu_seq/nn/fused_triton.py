"""The steps of the fused recurrence on a GPU: all that lies between two products is one kernel.

The same arithmetic as in :mod:`ptu_seq.nn.fused_cells` and :mod:`ptu_seq.nn.fused_unit`, where it
takes up to ten of torch's operations a step. At the sizes of a step a GPU computes faster than
Python can ask it to, so the number of kernels is what a step costs. Tensors of less than 32 bits
are computed with in 32.

This is the only module that imports Triton, which comes with torch for GPUs and runs kernels on a
CPU too, slowly, where the environment variable TRITON_INTERPRET is 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ptu_seq.nn.fused_cells import GRUStep, GRUStepBack, LSTMStep, LSTMStepBack, add_product
from ptu_seq.nn.fused_unit import UnitStep, UnitStepBack
from ptu_seq.unit import PTU

#: Numbers that one program of a kernel computes.
BLOCK = 256


def with_kernels(steps: Iterable[Any]) -> list[Any]:
    """The same steps, computed by the kernels of this module."""
    return [_BY_KERNEL[type(step)](*step) for step in steps]


class _LSTMStep(LSTMStep):
    def run(self, weight_hh: Tensor, t: Tensor, h: Tensor, c: Tensor) -> None:
        add_product(self.gates, h, weight_hh)
        c = _by_rows(c)
        _launch(_lstm, self.c, self.gates, c, c.stride(0), self.c, self.tanh_c, t)


class _GRUStep(GRUStep):
    def run(self, weight_hh: Tensor, t: Tensor, h: Tensor) -> None:
        add_product(self.products, h, weight_hh)
        h = _by_rows(h)
        _launch(_gru, t, self.new, self.new.stride(0), h, h.stride(0), t)


class _UnitStep(UnitStep):
    def run(self, unit: PTU, weight_target: Tensor, draw: Tensor | None) -> None:
        add_product(self.gates, self.t, weight_target)
        s = _by_rows(self.s)
        dropped = 0.0 if draw is None else unit.gate_dropout
        _launch(
            *(_unit, self.h, self.gates, self.gates.stride(0), s, s.stride(0), self.t, self.h),
            *(self.t if draw is None else draw, dropped),
            DROPS=draw is not None,
        )


class _LSTMStepBack(LSTMStepBack):
    def run(self, weight_hh: Tensor, d_t: Tensor, d_h: Tensor, d_c: Tensor) -> None:
        before, stride = self.c_before, self.c_before.stride(0)
        _launch(_lstm_back, d_c, self.products, self.c, before, stride, d_t, d_c)
        add_product(d_h.zero_(), self.products, weight_hh)


class _GRUStepBack(GRUStepBack):
    def run(self, weight_hh: Tensor, d_t: Tensor, d_h: Tensor) -> None:
        before, stride = self.h_before, self.h_before.stride(0)
        _launch(_gru_back, d_h, self.by_part, before, stride, d_t, d_h)
        add_product(d_h, self.products, weight_hh)


class _UnitStepBack(UnitStepBack):
    def run(self, weight_target: Tensor, d_state: Tensor) -> Tensor:
        d_t = torch.empty_like(self.d_h)
        reported = self.d_h if self.reported is None else self.reported
        _launch(
            *(_unit_back, self.d_h, self.d_h, d_state, self.by_gate),
            *(self.update, self.update.stride(0), reported, reported.stride(0), d_t),
            REPORTED=self.reported is not None,
        )
        add_product(d_t, self.d_gates, weight_target)
        return d_t


_BY_KERNEL: dict[type, type] = {
    LSTMStep: _LSTMStep,
    GRUStep: _GRUStep,
    UnitStep: _UnitStep,
    LSTMStepBack: _LSTMStepBack,
    GRUStepBack: _GRUStepBack,
    UnitStepBack: _UnitStepBack,
}


def _by_rows(x: Tensor) -> Tensor:
    """As kernels read it: with the features of a row side by side, whatever lies between rows."""
    return x if x.stride(1) == 1 else x.contiguous()


def _launch(kernel: Any, like: Tensor, *arguments: Any, **options: bool) -> None:
    """Runs a kernel with a number for each of `like`, `(batch, features)`."""
    kernel[(triton.cdiv(like.numel(), BLOCK),)](
        *(*arguments, like.numel(), like.shape[1]),
        **options,
        TYPE=tl.float64 if like.dtype == torch.float64 else tl.float32,
        BLOCK=BLOCK,
    )


# Kernels: `at` is where a program's numbers lie in a `(batch, size)` tensor; in the gates of an
# LSTM, `(batch, 4 * size)`, and in those of a unit, with its candidate `(batch, 3 * size)`, a
# neuron's gates lie `size` apart.


@triton.jit(do_not_specialize=["numbers"])
def _lstm(
    gates: Any,
    c_before: Any,
    stride_before: Any,
    c: Any,
    tanh_c: Any,
    t: Any,
    numbers: Any,
    size: Any,
    TYPE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, column, inside = at // size, at % size, at < numbers
    gate = gates + row * 4 * size + column
    i = _sigmoid(tl.load(gate, inside, 0).to(TYPE))
    f = _sigmoid(tl.load(gate + size, inside, 0).to(TYPE))
    g = _tanh(tl.load(gate + 2 * size, inside, 0).to(TYPE))
    o = _sigmoid(tl.load(gate + 3 * size, inside, 0).to(TYPE))
    before = tl.load(c_before + row * stride_before + column, inside, 0).to(TYPE)
    now = f * before + i * g
    tanh_now = _tanh(now)
    tl.store(gate, i, inside)
    tl.store(gate + size, f, inside)
    tl.store(gate + 2 * size, g, inside)
    tl.store(gate + 3 * size, o, inside)
    tl.store(c + at, now, inside)
    tl.store(tanh_c + at, tanh_now, inside)
    tl.store(t + at, o * tanh_now, inside)


@triton.jit(do_not_specialize=["numbers"])
def _lstm_back(
    products: Any,
    by_c: Any,
    by_c_before: Any,
    stride_before: Any,
    d_t: Any,
    d_c: Any,
    numbers: Any,
    size: Any,
    TYPE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, column, inside = at // size, at % size, at < numbers
    of_t = tl.load(d_t + at, inside, 0).to(TYPE)
    of_c = tl.load(d_c + at, inside, 0).to(TYPE) + of_t * tl.load(by_c + at, inside, 0).to(TYPE)
    product = products + row * 4 * size + column
    for gate in tl.static_range(3):
        slope = tl.load(product + gate * size, inside, 0).to(TYPE)
        tl.store(product + gate * size, slope * of_c, inside)
    slope = tl.load(product + 3 * size, inside, 0).to(TYPE)
    tl.store(product + 3 * size, slope * of_t, inside)
    forgotten = tl.load(by_c_before + row * stride_before + column, inside, 0).to(TYPE)
    tl.store(d_c + at, of_c * forgotten, inside)


@triton.jit(do_not_specialize=["numbers"])
def _gru(
    parts: Any,
    stride: Any,
    h_before: Any,
    stride_before: Any,
    t: Any,
    numbers: Any,
    size: Any,
    TYPE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, column, inside = at // size, at % size, at < numbers
    part = parts + row * stride + column
    reset = _sigmoid(tl.load(part + size, inside, 0).to(TYPE))
    update = _sigmoid(tl.load(part + 2 * size, inside, 0).to(TYPE))
    of_state = tl.load(part + 3 * size, inside, 0).to(TYPE)
    new = _tanh(tl.load(part, inside, 0).to(TYPE) + reset * of_state)
    before = tl.load(h_before + row * stride_before + column, inside, 0).to(TYPE)
    tl.store(part, new, inside)
    tl.store(part + size, reset, inside)
    tl.store(part + 2 * size, update, inside)
    tl.store(t + at, _between(new, before, update), inside)


@triton.jit(do_not_specialize=["numbers"])
def _gru_back(
    by_part: Any,
    by_h_before: Any,
    stride_before: Any,
    d_t: Any,
    d_h: Any,
    numbers: Any,
    size: Any,
    TYPE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, column, inside = at // size, at % size, at < numbers
    of_t = tl.load(d_t + at, inside, 0).to(TYPE)
    part = by_part + row * 4 * size + column
    for i in tl.static_range(4):
        tl.store(part + i * size, tl.load(part + i * size, inside, 0).to(TYPE) * of_t, inside)
    kept = tl.load(by_h_before + row * stride_before + column, inside, 0).to(TYPE)
    tl.store(d_h + at, of_t * kept, inside)


@triton.jit(do_not_specialize=["numbers"])
def _unit(
    gates: Any,
    stride: Any,
    source: Any,
    stride_source: Any,
    t: Any,
    h: Any,
    draw: Any,
    dropped: Any,
    numbers: Any,
    size: Any,
    DROPS: tl.constexpr,
    TYPE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, column, inside = at // size, at % size, at < numbers
    gate = gates + row * stride + column
    fine_tune = _sigmoid(tl.load(gate, inside, 0).to(TYPE))
    update = _sigmoid(tl.load(gate + size, inside, 0).to(TYPE))
    if DROPS:
        drawn = tl.load(draw + at, inside, 1).to(TYPE)
        forced = tl.where(drawn < dropped / 2, 1.0, 0.0)
        update = tl.where(drawn < dropped, forced, update)
    candidate = tl.load(gate + 2 * size, inside, 0).to(TYPE)
    s = tl.load(source + row * stride_source + column, inside, 0).to(TYPE)
    of_target = tl.load(t + at, inside, 0).to(TYPE)
    retuned = _between(s, candidate, fine_tune)
    tl.store(gate, fine_tune, inside)
    tl.store(gate + size, update, inside)
    tl.store(h + at, _between(of_target, retuned, update), inside)


@triton.jit(do_not_specialize=["numbers"])
def _unit_back(
    d_h: Any,
    d_state: Any,
    by_gate: Any,
    update: Any,
    stride_update: Any,
    reported: Any,
    stride_reported: Any,
    d_t: Any,
    numbers: Any,
    size: Any,
    REPORTED: tl.constexpr,
    TYPE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, column, inside = at // size, at % size, at < numbers
    of_h = tl.load(d_h + at, inside, 0).to(TYPE) + tl.load(d_state + at, inside, 0).to(TYPE)
    tl.store(d_h + at, of_h, inside)
    gate = by_gate + row * 3 * size + column
    for i in tl.static_range(3):
        of_gate = tl.load(gate + i * size, inside, 0).to(TYPE) * of_h
        if REPORTED and i < 2:
            read = reported + row * stride_reported + column + i * size
            of_gate += tl.load(read, inside, 0).to(TYPE)
        tl.store(gate + i * size, of_gate, inside)
    opened = tl.load(update + row * stride_update + column, inside, 0).to(TYPE)
    tl.store(d_t + at, of_h - of_h * opened, inside)


@triton.jit
def _sigmoid(x: Any) -> Any:
    return 1 / (1 + tl.exp(-x))


@triton.jit
def _tanh(x: Any) -> Any:
    small = tl.exp(-2 * tl.abs(x))  # at most 1, so that nothing overflows
    size = (1 - small) / (1 + small)
    return tl.where(x < 0, -size, size)


@triton.jit
def _between(a: Any, b: Any, weight: Any) -> Any:
    """As torch.lerp: exactly `a` where `a == b` or the weight is 0, and `b` where it is 1."""
    return tl.where(weight < 0.5, a + weight * (b - a), b - (b - a) * (1 - weight))
