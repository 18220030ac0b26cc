"""The arithmetic of the LSTM and the GRU cell inside the fused recurrence, both ways.

A *tape* holds what a cell's backward pass needs: buffers of all rows, which the forward pass fills
block by block, a block a step. *Slopes* are what the gradients that reach a step are multiplied by.
They do not depend on those gradients, so they are taken for all rows at once; the backward pass
turns them into gradients in place, block by block. All views of the blocks are made before the
loops: at usual sizes, a view made inside takes about as long as a sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from ptu_seq.nn.walk import Walk


class LSTMTape(NamedTuple):
    """An LSTM's gates (input, forget, cell, output), cell state and the tanh of that."""

    gates: Tensor
    c: Tensor
    tanh_c: Tensor

    @classmethod
    def begin(cls, products: Tensor) -> Self:
        """Before the first step: `products`, those of the input with all biases, become gates."""
        rows, features = products.shape
        return cls(products, *products.new_empty(2, rows, features // 4))

    @staticmethod
    def weights(
        weight_ih: Tensor, weight_hh: Tensor, *biases: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The weights and biases of torch as the tape has the gates; both biases as one."""
        return weight_ih, weight_hh, biases[0] + biases[1] if biases else None

    @staticmethod
    def of_input(products: Tensor) -> Tensor:
        """The features that the input's products reach."""
        return products

    @staticmethod
    def of_state(products: Tensor) -> Tensor:
        """The features that the state's products reach."""
        return products

    @property
    def memory(self) -> tuple[Tensor, ...]:
        """The states that the unit leaves alone."""
        return (self.c,)

    def steps(self, walk: Walk) -> Iterator[LSTMStep]:
        """The blocks, in the order walked."""
        i, f, g, o = self.gates.chunk(4, dim=1)
        i_and_f = self.gates[:, : 2 * self.c.shape[1]]
        parts = (self.gates, i_and_f, i, f, g, o, self.c, self.tanh_c)
        return map(LSTMStep, *map(walk.blocks, parts))

    def slopes(self, h: Tensor, c: Tensor) -> LSTMSlopes:
        """Of all rows, from the states before them."""
        i, f, g, o = self.gates.chunk(4, dim=1)
        products = torch.empty_like(self.gates)
        by_i, by_f, by_g, by_o = products.chunk(4, dim=1)
        slope_of_sigmoid(i, out=by_i).mul_(g)
        slope_of_sigmoid(f, out=by_f).mul_(c)
        slope_of_tanh(g, out=by_g).mul_(i)
        slope_of_sigmoid(o, out=by_o).mul_(self.tanh_c)
        return LSTMSlopes(products, slope_of_tanh(self.tanh_c).mul_(o), f)


class LSTMStep(NamedTuple):
    """A step's block of a tape."""

    gates: Tensor
    i_and_f: Tensor
    i: Tensor
    f: Tensor
    g: Tensor
    o: Tensor
    c: Tensor
    tanh_c: Tensor

    def run(self, weight_hh: Tensor, t: Tensor, h: Tensor, c: Tensor) -> None:
        """Fills the block, and `t` with the cell's output, from the state before."""
        add_product(self.gates, h, weight_hh)
        self.i_and_f.sigmoid_()
        self.g.tanh_()
        self.o.sigmoid_()
        torch.mul(self.f, c, out=self.c).addcmul_(self.i, self.g)
        torch.tanh(self.c, out=self.tanh_c)
        torch.mul(self.o, self.tanh_c, out=t)


class LSTMSlopes(NamedTuple):
    """Of `c` by the products of the first three gates and by the `c` before; of `t` by the rest."""

    products: Tensor
    c: Tensor
    c_before: Tensor

    def steps(self, walk: Walk) -> list[LSTMStepBack]:
        """The blocks, in the order walked."""
        by_gate = self.products.unflatten(1, (4, -1))
        parts = (self.products, by_gate[:, :3], by_gate[:, 3], self.c, self.c_before)
        return list(map(LSTMStepBack, *map(walk.blocks, parts)))


class LSTMStepBack(NamedTuple):
    """A step's block of slopes."""

    products: Tensor
    i_f_g: Tensor
    o: Tensor
    c: Tensor
    c_before: Tensor

    def run(self, weight_hh: Tensor, d_t: Tensor, d_h: Tensor, d_c: Tensor) -> None:
        """Makes the products' slopes gradients, and `d_h`, `d_c` those of the state before."""
        d_c.addcmul_(d_t, self.c)
        self.i_f_g.mul_(d_c.unsqueeze(1))
        self.o.mul_(d_t)
        d_c.mul_(self.c_before)
        add_product(d_h.zero_(), self.products, weight_hh)


class GRUTape(NamedTuple):
    """A GRU's new state, gates (reset, update) and the state's share of the new one.

    The input's products reach the first three, those of the state the last three.
    """

    parts: Tensor

    @classmethod
    def begin(cls, products: Tensor) -> Self:
        """Before the first step: `products`, those of the input with all biases, become parts."""
        return cls(products)

    @staticmethod
    def weights(
        weight_ih: Tensor, weight_hh: Tensor, *biases: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The weights and biases of torch (reset, update, new) in the order of the tape."""
        size = weight_hh.shape[1]
        weight_ih = weight_ih.roll(size, 0)
        if not biases:
            return weight_ih, weight_hh, None
        of_input, of_state = biases
        return (
            weight_ih,
            weight_hh,
            F.pad(of_input.roll(size), (0, size)) + F.pad(of_state, (size, 0)),
        )

    @staticmethod
    def of_input(products: Tensor) -> Tensor:
        """The features that the input's products reach."""
        return products[:, : 3 * (products.shape[1] // 4)]

    @staticmethod
    def of_state(products: Tensor) -> Tensor:
        """The features that the state's products reach."""
        return products[:, products.shape[1] // 4 :]

    @property
    def memory(self) -> tuple[Tensor, ...]:
        """There is no state that the unit leaves alone."""
        return ()

    def steps(self, walk: Walk) -> Iterator[GRUStep]:
        """The blocks, in the order walked."""
        new, reset, update, of_state = self.parts.chunk(4, dim=1)
        size = new.shape[1]
        parts = (self.parts[:, size:], self.parts[:, size : 3 * size], new, reset, update, of_state)
        return map(GRUStep, *map(walk.blocks, parts))

    def slopes(self, h: Tensor) -> GRUSlopes:
        """Of all rows, from the states before them."""
        new, reset, update, of_state = self.parts.chunk(4, dim=1)
        products = torch.empty_like(self.parts)
        by_new, by_reset, by_update, by_of_state = products.chunk(4, dim=1)
        slope_of_tanh(new, out=by_new).mul_(1 - update)
        slope_of_sigmoid(reset, out=by_reset).mul_(of_state).mul_(by_new)
        slope_of_sigmoid(update, out=by_update).mul_(h - new)
        torch.mul(by_new, reset, out=by_of_state)
        return GRUSlopes(products, update)


class GRUStep(NamedTuple):
    """A step's block of a tape."""

    products: Tensor
    gates: Tensor
    new: Tensor
    reset: Tensor
    update: Tensor
    of_state: Tensor

    def run(self, weight_hh: Tensor, t: Tensor, h: Tensor) -> None:
        """Fills the block, and `t` with the cell's output, from the state before."""
        add_product(self.products, h, weight_hh)
        self.gates.sigmoid_()
        self.new.addcmul_(self.reset, self.of_state).tanh_()
        torch.lerp(self.new, h, self.update, out=t)


class GRUSlopes(NamedTuple):
    """Of `t` by the products and by the state before."""

    products: Tensor
    h_before: Tensor

    def steps(self, walk: Walk) -> list[GRUStepBack]:
        """The blocks, in the order walked."""
        by_part = self.products.unflatten(1, (4, -1))
        parts = (by_part, GRUTape.of_state(self.products), self.h_before)
        return list(map(GRUStepBack, *map(walk.blocks, parts)))


class GRUStepBack(NamedTuple):
    """A step's block of slopes."""

    by_part: Tensor
    products: Tensor
    h_before: Tensor

    def run(self, weight_hh: Tensor, d_t: Tensor, d_h: Tensor) -> None:
        """Makes the products' slopes gradients, and `d_h` that of the state before."""
        self.by_part.mul_(d_t.unsqueeze(1))
        torch.mul(d_t, self.h_before, out=d_h)
        add_product(d_h, self.products, weight_hh)


def add_product(total: Tensor, x: Tensor, weight: Tensor) -> None:
    """Adds `x @ weight` in place; under autocast the product is of lower precision."""
    if total.dtype == weight.dtype:
        total.addmm_(x, weight)
    else:
        total.add_(x.to(weight.dtype) @ weight)


def slope_of_sigmoid(y: Tensor, out: Tensor | None = None) -> Tensor:
    """The derivative of a sigmoid where it is `y`."""
    return torch.addcmul(y, y, y, value=-1, out=out)


def slope_of_tanh(y: Tensor, out: Tensor | None = None) -> Tensor:
    """The derivative of a hyperbolic tangent where it is `y`."""
    return torch.square(y, out=out).neg_().add_(1)
