"""The Parameter Transfer Unit with several sources: the update gate becomes a softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self, overload

import torch
from torch import Tensor, nn

from ptu_seq.unit import PTU, Pin, PTUGates, check_pin


class MultiSourcePTU(nn.Module):
    r"""Mixes a target's activation with those of k sources, neuron by neuron.

    Each source has a unit of its own, with the fine-tune gate and the candidate of
    :class:`~ptu_seq.PTU`; what its update gate was the sigmoid of, `z_i`, competes with the others
    and with the target, for which 0 stands:

    .. math::
        (u_0, u_1, \dots, u_k) = \mathrm{softmax}(0, z_1, \dots, z_k), \qquad
        h = u_0 t + \sum_i u_i s_i'

    With one source that is the :class:`~ptu_seq.PTU`, as a softmax over two is a sigmoid. In
    training, `gate_dropout` gives a random neuron wholly to one of the k + 1, each as often as the
    others. (The extension to several sources is this project's.)

    Args:
        units: one for each source, with the same target size, gate dropout and kind.

    Shape:
        - sources: k activations `(..., source_size_i)`; t: `(..., target_size)`
        - h: `(..., target_size)`
        - gates: `(k, ..., target_size)`, a source's after the other's

    Raises:
        ValueError: if there is no unit, or they differ in what they have to share.

    Example:
        >>> unit = MultiSourcePTU([PTU(8, 4), PTU(6, 4)])
        >>> h, gates = unit([torch.randn(2, 8), torch.randn(2, 6)], torch.randn(2, 4), True)
        >>> h.shape, gates.update.shape
        (torch.Size([2, 4]), torch.Size([2, 2, 4]))
    """

    def __init__(self, units: Sequence[PTU]) -> None:
        super().__init__()
        if not units:
            raise ValueError("MultiSourcePTU: there must be at least one unit.")
        for name in ("target_size", "gate_dropout", "feature_axis"):
            values = {getattr(unit, name) for unit in units}
            if len(values) > 1:
                raise ValueError(
                    f"MultiSourcePTU: the units differ in {name} ({', '.join(map(str, values))}); "
                    "it must be the same for all sources."
                )
        self.units: Sequence[PTU] = nn.ModuleList(units)  # type: ignore[assignment]
        self.gate_dropout = units[0].gate_dropout
        self.feature_axis = units[0].feature_axis
        self.pinned: tuple[Pin, int] | None = None

    def pin(self, state: Pin, source: int | None = None) -> Self:
        """Replaces the gates by one state, as :meth:`ptu_seq.PTU.pin` does.

        Args:
            state: "target", or "frozen" or "adapted" for one of the sources alone.
            source: which, counted from 0; needed for the latter two where there are several.

        Raises:
            ValueError: for another state, or if it is not said which source, or there is none.
        """
        count = len(self.units)
        if source is None and (state == "target" or count == 1):
            source = 0
        if source is None or not 0 <= source < count:
            raise ValueError(
                f"MultiSourcePTU: cannot pin to {state!r} of source {source}; say which of the "
                f"sources 0 to {count - 1}."
            )
        check_pin(state)
        self.pinned = (state, source)
        return self

    def unpin(self) -> Self:
        """Lets the gates act again; returns the unit."""
        self.pinned = None
        return self

    @overload
    def forward(self, sources: Sequence[Tensor], t: Tensor) -> Tensor: ...

    @overload
    def forward(
        self, sources: Sequence[Tensor], t: Tensor, return_gates: Literal[True]
    ) -> tuple[Tensor, PTUGates]: ...

    def forward(
        self, sources: Sequence[Tensor], t: Tensor, return_gates: bool = False
    ) -> Tensor | tuple[Tensor, PTUGates]:
        """The mixed activation, and with `return_gates` all gates beside it."""
        if len(sources) != len(self.units):
            raise ValueError(
                f"MultiSourcePTU: {len(sources)} source activations are given to a unit for "
                f"{len(self.units)}."
            )
        for unit, s in zip(self.units, sources, strict=True):
            unit.check(s, t)
        h, gates = self._mix(sources, t) if self.pinned is None else self._pinned(sources, t)
        return (h, gates) if return_gates else h

    def _mix(self, sources: Sequence[Tensor], t: Tensor) -> tuple[Tensor, PTUGates]:
        fine_tune, logits, retuned = [], [], []
        for unit, source in zip(self.units, sources, strict=True):
            s, products = unit.source_products(source)
            source_gates, candidate = unit.split(products)
            f, z = unit.gate_logits(source_gates, t).chunk(2, dim=self.feature_axis)
            fine_tune.append(torch.sigmoid(f).to(t.dtype))
            logits.append(z)
            retuned.append(unit.retune(s, candidate, fine_tune[-1]))
        scores = torch.stack([torch.zeros_like(logits[0]), *logits])
        shares = self._drop(torch.softmax(scores, dim=0).to(t.dtype))
        h = t
        # t + sum of u_i (s_i' - t): exactly t where every s_i' equals it.
        for share, s in zip(shares[1:], retuned, strict=True):
            h = h + share * (s - t)
        return h, PTUGates(torch.stack(fine_tune), shares[1:])

    def _drop(self, shares: Tensor) -> Tensor:
        """Gives random neurons wholly to one of target and sources."""
        if not self.training or self.gate_dropout == 0:
            return shares
        owner = torch.randint(len(shares), shares.shape[1:], device=shares.device)
        owned = torch.nn.functional.one_hot(owner, len(shares)).movedim(-1, 0).to(shares.dtype)
        dropped = torch.rand(shares.shape[1:], device=shares.device) < self.gate_dropout
        return torch.where(dropped, owned, shares)

    def _pinned(self, sources: Sequence[Tensor], t: Tensor) -> tuple[Tensor, PTUGates]:
        assert self.pinned is not None
        state, index = self.pinned
        h, own = self.units[index].at(state, sources[index], t)
        zero = torch.zeros_like(t)
        fine_tune, update = [zero] * len(sources), [zero] * len(sources)
        fine_tune[index], update[index] = own
        return h, PTUGates(torch.stack(fine_tune), torch.stack(update))

    def extra_repr(self) -> str:
        """The pin, for `print(unit)`."""
        return f"pinned={self.pinned!r}" if self.pinned else ""
