"""The Parameter Transfer Unit: two gates between a source and a target activation.

Only the abstract of the PTU paper (Zhang, Zhang & Yang, PAKDD 2019, arXiv 1804.08613) is public;
the equations here are this project's reconstruction of it.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal, NamedTuple, get_args, overload

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Candidate = Literal["linear", "tanh", "relu"]
CandidateInit = Literal["identity", "random"]
Pin = Literal["target", "frozen", "adapted"]


class PTUGates(NamedTuple):
    """Both gates of one unit, each `(..., target_size)` in [0, 1]."""

    fine_tune: Tensor
    update: Tensor


class PTU(nn.Module):
    r"""Mixes the activations of a frozen source network and a target network, neuron by neuron.

    .. math::
        f &= \sigma(W_f [s; t] + b_f) \\
        u &= \sigma(W_u [s; t] + b_u) \\
        s' &= (1 - f) \odot s + f \odot \phi(W_c s + b_c) \\
        h &= (1 - u) \odot t + u \odot s'

    The fine-tune gate `f` says how far the source's activation is re-tuned, the update gate `u`
    how much of it replaces the target's. The discrete choices of transfer learning are corners of
    this: `u = 0` is the target network itself (random or fine-tuned, by how it was initialised),
    `u = 1, f = 0` the frozen source; :meth:`pin` sets them exactly. Where the sizes differ, `s`
    first passes a learned linear projection to the target's size.

    The products are stored stacked, as torch.nn stacks the gates of an LSTM: `weight_source` holds
    the source's share of `W_f`, `W_u` and `W_c`, `weight_target` the target's share of `W_f` and
    `W_u`. So the source's share can be computed once for a whole sequence
    (:meth:`source_products`) and nothing is concatenated.

    Reconstruction of Zhang, Zhang & Yang (PAKDD 2019) from its abstract.

    Args:
        source_size: features of the source activation.
        target_size: features of the target activation and of the result; `source_size` if None.
        candidate: the nonlinearity `phi` of the re-tuned source: "linear", "tanh" or "relu".
        candidate_init: "identity" starts at `W_c = I, b_c = 0`: with a linear candidate the
            re-tuned source equals the source, so a target copied from the source leaves the whole
            network's function as it was, to the bit. "random" starts like `torch.nn.Linear`.
        fine_tune_bias: initial value of `b_f`; positive values begin nearer to the candidate.
        update_bias: initial value of `b_u`; positive values begin nearer to the source.
        gate_dropout: in training, the probability that a neuron's update gate is forced, half the
            time to 0 and half to 1, so that neither branch comes to rely on the other.
        device: where the parameters are made.
        dtype: their type.

    Shape:
        - s: `(..., source_size)`; t: `(..., target_size)`, with equal leading axes
        - h: `(..., target_size)`

    Raises:
        ValueError: for sizes below 1, an unknown candidate or initialisation, or activations whose
            axes do not agree.

    Example:
        >>> unit = PTU(source_size=8, target_size=4, candidate="tanh")
        >>> h, gates = unit(torch.randn(2, 5, 8), torch.randn(2, 5, 4), return_gates=True)
        >>> h.shape, gates.update.shape
        (torch.Size([2, 5, 4]), torch.Size([2, 5, 4]))
    """

    #: Which axis of an activation holds its features.
    feature_axis: ClassVar[int] = -1

    def __init__(
        self,
        source_size: int,
        target_size: int | None = None,
        candidate: Candidate = "linear",
        *,
        candidate_init: CandidateInit = "identity",
        fine_tune_bias: float = 0.0,
        update_bias: float = 0.0,
        gate_dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        target_size = source_size if target_size is None else target_size
        for name, size in (("source_size", source_size), ("target_size", target_size)):
            if size < 1:
                raise ValueError(f"PTU: {name} is {size}; it must be at least 1.")
        for name, value, accepted in (
            ("candidate", candidate, get_args(Candidate)),
            ("candidate_init", candidate_init, get_args(CandidateInit)),
        ):
            if value not in accepted:
                raise ValueError(f"PTU: {name} is {value!r}; accepted are {', '.join(accepted)}.")
        if not 0 <= gate_dropout <= 1:
            raise ValueError(f"PTU: gate_dropout is {gate_dropout}; it must be from 0 to 1.")
        self.source_size = source_size
        self.target_size = target_size
        self.candidate = candidate
        self.candidate_init = candidate_init
        self.fine_tune_bias = fine_tune_bias
        self.update_bias = update_bias
        self.gate_dropout = gate_dropout
        self.pinned: Pin | None = None
        where = {"device": device, "dtype": dtype}
        self.projection: nn.Module = (
            nn.Identity()
            if source_size == target_size
            else nn.Linear(source_size, target_size, **where)  # type: ignore[arg-type]
        )
        size = target_size
        self.weight_source = nn.Parameter(torch.empty(3 * size, size, **where))  # type: ignore[arg-type]
        self.weight_target = nn.Parameter(torch.empty(2 * size, size, **where))  # type: ignore[arg-type]
        self.bias = nn.Parameter(torch.empty(3 * size, **where))  # type: ignore[arg-type]
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draws the gate weights as `torch.nn.Linear` over `[s; t]` would, and sets the biases."""
        size = self.target_size
        bound = 1 / math.sqrt(2 * size)
        nn.init.uniform_(self.weight_source, -bound, bound)
        nn.init.uniform_(self.weight_target, -bound, bound)
        fine_tune, update, candidate = self.bias.chunk(3)
        fine_tune.fill_(self.fine_tune_bias)
        update.fill_(self.update_bias)
        candidate.zero_()
        if self.candidate_init == "identity":
            nn.init.eye_(self.weight_source[2 * size :])
        else:
            nn.init.kaiming_uniform_(self.weight_source[2 * size :], a=math.sqrt(5))
        if isinstance(self.projection, nn.Linear):
            self.projection.reset_parameters()

    def pin(self, state: Pin) -> PTU:
        """Holds both gates at one of the discrete states, exactly; returns the unit.

        Args:
            state: "target" (`u = 0`: the target alone), "frozen" (`u = 1, f = 0`: the source
                alone) or "adapted" (`u = 1, f = 1`: the candidate alone).

        Raises:
            ValueError: for any other state.
        """
        check_pin(state)
        self.pinned = state
        return self

    def unpin(self) -> PTU:
        """Lets both gates act again; returns the unit."""
        self.pinned = None
        return self

    @overload
    def forward(self, s: Tensor, t: Tensor) -> Tensor: ...

    @overload
    def forward(
        self, s: Tensor, t: Tensor, return_gates: Literal[True]
    ) -> tuple[Tensor, PTUGates]: ...

    def forward(
        self, s: Tensor, t: Tensor, return_gates: bool = False
    ) -> Tensor | tuple[Tensor, PTUGates]:
        """The mixed activation, and with `return_gates` both gates beside it."""
        self.check(s, t)
        if self.pinned is None:
            h, gates = self.mix(*self.source_products(s), t, self.draw(t))
        else:
            h, gates = self.at(self.pinned, s, t)
        return (h, gates) if return_gates else h

    def at(self, state: Pin, s: Tensor, t: Tensor) -> tuple[Tensor, PTUGates]:
        """The activation and the gates of a unit that is pinned to `state`."""
        zero, one = torch.zeros_like(t), torch.ones_like(t)
        if state == "target":
            return t, PTUGates(zero, zero)
        fine_tune = one if state == "adapted" else zero
        return self.lend(state, s).to(t.dtype), PTUGates(fine_tune, one)

    def lend(self, state: Pin, s: Tensor) -> Tensor:
        """The activation of a unit that is pinned to "frozen" or "adapted": of the source alone."""
        s = self.project(s)
        return s if state == "frozen" else self.activate(self.candidate_product(s))

    def candidate_product(self, s: Tensor) -> Tensor:
        """What the candidate is the activation of, for a projected source."""
        first = 2 * self.target_size
        # A copy begins where torch lets a matrix begin: products round by how operands lie.
        return self._product(s, self.weight_source[first:].clone(), self.bias[first:])

    def source_products(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """What depends on the source alone: computed once for a whole sequence.

        Args:
            s: source activation, `(..., source_size)`.

        Returns:
            The projected source `(..., target_size)` and its share of both gates and the
            candidate `(..., 3 * target_size)`, biases included.
        """
        s = self.project(s)
        return s, self._product(s, self.weight_source, self.bias)

    def draw(self, t: Tensor) -> Tensor | None:
        """What `gate_dropout` draws for the activation `t`; None where no gate is dropped."""
        return torch.rand_like(t) if self.training and self.gate_dropout > 0 else None

    def drop(self, update: Tensor, draw: Tensor) -> Tensor:
        """The update gate with the neurons that :meth:`draw` chose forced to 0 or to 1."""
        forced = (draw < self.gate_dropout / 2).to(update.dtype)
        return torch.where(draw < self.gate_dropout, forced, update)

    def mix(
        self, s: Tensor, products: Tensor, t: Tensor, draw: Tensor | None = None
    ) -> tuple[Tensor, PTUGates]:
        """Gates `t` with a source prepared by :meth:`source_products`; ignores pins.

        Both interpolations are written as `lerp`, which returns exactly `a` where `a == b`: with
        an identity candidate and equal twins the result is the source's activation to the bit.
        """
        source_gates, candidate = self.split(products)
        gates = torch.sigmoid(self.gate_logits(source_gates, t)).to(t.dtype)
        fine_tune, update = gates.chunk(2, dim=self.feature_axis)
        if draw is not None:
            update = self.drop(update, draw)
        retuned = self.retune(s, candidate, fine_tune)
        return torch.lerp(t, retuned, update), PTUGates(fine_tune, update)

    def split(self, products: Tensor) -> tuple[Tensor, Tensor]:
        """The source's share of both gates, and what the candidate is the activation of."""
        size = self.target_size
        gates, candidate = products.split((2 * size, size), dim=self.feature_axis)
        return gates, candidate

    def gate_logits(self, source_gates: Tensor, t: Tensor) -> Tensor:
        """What both gates are the sigmoids of: fine-tune gate, then update gate."""
        return source_gates + self._product(t, self.weight_target)

    def retune(self, s: Tensor, candidate: Tensor, fine_tune: Tensor) -> Tensor:
        """`s' = (1 - f) * s + f * candidate(s)`, of a projected source, in the gates' type."""
        dtype = fine_tune.dtype
        return torch.lerp(s.to(dtype), self.activate(candidate).to(dtype), fine_tune)

    def activate(self, x: Tensor) -> Tensor:
        """The candidate's nonlinearity."""
        if self.candidate == "tanh":
            return torch.tanh(x)
        return torch.relu(x) if self.candidate == "relu" else x

    def project(self, s: Tensor) -> Tensor:
        """The source's activation in the target's size."""
        if isinstance(self.projection, nn.Linear):
            return self._product(s, self.projection.weight, self.projection.bias)
        return s

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The products of a linear layer along the axis of features."""
        return F.linear(x, weight, bias)

    def check(self, s: Tensor, t: Tensor) -> None:
        """Raises ValueError if the unit was not made for activations of these shapes."""
        for name, x, size in (("source", s, self.source_size), ("target", t, self.target_size)):
            if x.shape[-1] != size:
                raise ValueError(
                    f"PTU: the last axis of the {name} activation has size {x.shape[-1]}; "
                    f"this unit was made for {size}."
                )
        if s.shape[:-1] != t.shape[:-1]:
            raise ValueError(
                f"PTU: the leading axes of the source activation are {tuple(s.shape[:-1])} and "
                f"those of the target's {tuple(t.shape[:-1])}; they must be equal."
            )

    def extra_repr(self) -> str:
        """Sizes, candidate and pin, for `print(unit)`."""
        pinned = f", pinned={self.pinned!r}" if self.pinned else ""
        return f"{self.source_size}, {self.target_size}, candidate={self.candidate!r}{pinned}"


def check_pin(state: Pin) -> None:
    """Raises ValueError if there is no such state."""
    if state not in get_args(Pin):
        raise ValueError(f"PTU: cannot pin to {state!r}; accepted are {', '.join(get_args(Pin))}.")
