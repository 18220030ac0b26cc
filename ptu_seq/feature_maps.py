"""The Parameter Transfer Unit on feature maps: its products are 1x1 convolutions."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

from torch import Tensor
from torch.nn import functional as F

from ptu_seq.unit import PTU

GatesPer = Literal["position", "channel"]
"""Whether a feature map has gates of its own at every position, or one pair for each channel."""

_CONVOLUTIONS = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}


class FeatureMapPTU(PTU):
    r"""A :class:`~ptu_seq.PTU` whose features are the channels of maps, on the second axis.

    At each position the equations are those of :class:`~ptu_seq.PTU`. With `gates_per` "channel"
    both gates read the maps' means over positions, and hold for whole channels (as in
    squeeze-and-excitation); the candidate is re-tuned at each position all the same:

    .. math::
        f = \sigma(W_f [\bar s; \bar t] + b_f), \quad u = \sigma(W_u [\bar s; \bar t] + b_u)

    Args:
        source_size: channels of the source's maps.
        target_size: channels of the target's maps and of the result; `source_size` if None.
        gates_per: "position" or "channel".
        **options: those of :class:`~ptu_seq.PTU`.

    Shape:
        - s: `(batch, source_size, *positions)`; t: `(batch, target_size, *positions)`
        - h: `(batch, target_size, *positions)`
        - gates: as h, or `(batch, target_size, 1, ...)` with gates per channel

    Raises:
        ValueError: as :class:`~ptu_seq.PTU`, and for another `gates_per`.

    Example:
        >>> import torch
        >>> unit = FeatureMapPTU(8, 4, gates_per="channel")
        >>> s, t = torch.randn(2, 8, 5, 5), torch.randn(2, 4, 5, 5)
        >>> h, gates = unit(s, t, return_gates=True)
        >>> h.shape, gates.update.shape
        (torch.Size([2, 4, 5, 5]), torch.Size([2, 4, 1, 1]))
    """

    feature_axis: ClassVar[int] = 1

    def __init__(
        self,
        source_size: int,
        target_size: int | None = None,
        *,
        gates_per: GatesPer = "position",
        **options: Any,
    ) -> None:
        if gates_per not in get_args(GatesPer):
            raise ValueError(
                f"FeatureMapPTU: gates_per is {gates_per!r}; accepted are "
                f"{', '.join(get_args(GatesPer))}."
            )
        super().__init__(source_size, target_size, **options)
        self.gates_per = gates_per

    def draw(self, t: Tensor) -> Tensor | None:
        """What `gate_dropout` draws; with gates per channel, once for a channel."""
        if self.gates_per == "channel":
            t = t.flatten(2)[..., :1].unflatten(2, [1] * (t.dim() - 2))
        return super().draw(t)

    def gate_logits(self, source_gates: Tensor, t: Tensor) -> Tensor:
        """What both gates are the sigmoids of; with gates per channel, of means over positions."""
        if self.gates_per == "position":
            return super().gate_logits(source_gates, t)
        # The mean of linear products is the product of the mean.
        return _mean(source_gates) + self._product(_mean(t), self.weight_target)

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        convolution = _CONVOLUTIONS[x.dim()]
        return convolution(x, weight.view(*weight.shape, *[1] * (x.dim() - 2)), bias)

    def check(self, s: Tensor, t: Tensor) -> None:
        """Raises ValueError if the unit was not made for maps of these shapes."""
        for name, x, size in (("source", s, self.source_size), ("target", t, self.target_size)):
            if x.dim() not in _CONVOLUTIONS:
                raise ValueError(
                    f"FeatureMapPTU: the {name} activation has {x.dim()} axes; accepted are "
                    "(batch, channels, length), (batch, channels, height, width) and "
                    "(batch, channels, depth, height, width)."
                )
            if x.shape[1] != size:
                raise ValueError(
                    f"FeatureMapPTU: the {name} activation has {x.shape[1]} channels; this unit "
                    f"was made for {size}."
                )
        if (s.shape[0], s.shape[2:]) != (t.shape[0], t.shape[2:]):
            raise ValueError(
                f"FeatureMapPTU: the source activation is {tuple(s.shape)} and the target's "
                f"{tuple(t.shape)}; all axes but the channels must be equal."
            )

    def extra_repr(self) -> str:
        """Adds `gates_per` to what a unit shows."""
        return f"{super().extra_repr()}, gates_per={self.gates_per!r}"


def _mean(maps: Tensor) -> Tensor:
    return maps.mean(dim=tuple(range(2, maps.dim())), keepdim=True)
