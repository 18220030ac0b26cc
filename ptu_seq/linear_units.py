"""Units that mix two networks by constants: what the Parameter Transfer Unit makes of data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ptu_seq.unit import Pin, PTUGates, check_pin


class LinearUnit(nn.Module):
    """A learned linear mixture of a source's and a target's activation: the shared base.

    Args:
        source_size: features of the source activation.
        target_size: features of the target activation, as many; `source_size` if None.
        axis: which axis of an activation holds its features, counted from the end: -1, -2, ...
        device: where the parameters are made.
        dtype: their type.

    Shape:
        - s, t, h: `(..., target_size)`, or with the features on `axis`

    Raises:
        ValueError: for sizes that differ, or activations that do not agree.
    """

    def __init__(
        self,
        source_size: int,
        target_size: int | None = None,
        *,
        axis: int = -1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        target_size = source_size if target_size is None else target_size
        if source_size != target_size:
            raise ValueError(
                f"{type(self).__name__}: the source has {source_size} features and the target "
                f"{target_size}; it mixes activations of one size."
            )
        self.size, self.axis = target_size, axis
        self.pinned: Pin | None = None

    def weights(self) -> tuple[Tensor, Tensor]:
        """The source's and the target's, one for all features or one for each."""
        raise NotImplementedError

    def pin(self, state: Pin) -> LinearUnit:
        """Holds the mixture at the target alone, or with any other state at the source alone.

        Raises:
            ValueError: for a state that units do not have.
        """
        check_pin(state)
        self.pinned = state
        return self

    def unpin(self) -> LinearUnit:
        """Lets the weights act again."""
        self.pinned = None
        return self

    def forward(
        self, s: Tensor, t: Tensor, return_gates: bool = False
    ) -> Tensor | tuple[Tensor, PTUGates]:
        """The mixed activation; with `return_gates` the source's weight stands as update gate."""
        if s.shape != t.shape or t.shape[self.axis] != self.size:
            raise ValueError(
                f"{type(self).__name__}: the source activation is {tuple(s.shape)} and the "
                f"target's {tuple(t.shape)}; this unit mixes {self.size} features of both."
            )
        source, target = (self._along_features(weight, t) for weight in self.weights())
        if self.pinned is not None:
            source = source.new_tensor(0.0 if self.pinned == "target" else 1.0)
            h = t if self.pinned == "target" else s.to(t.dtype)
        else:
            h = (source * s + target * t).to(t.dtype)
        update = source.expand_as(t)
        return (h, PTUGates(torch.zeros_like(update), update)) if return_gates else h

    def _along_features(self, weight: Tensor, t: Tensor) -> Tensor:
        if weight.dim() == 0:
            return weight
        return weight.view(-1, *[1] * (-1 - self.axis))


class CrossStitch(LinearUnit):
    r"""The target's half of a cross-stitch unit (Misra et al., CVPR 2016), a pair each feature.

    .. math::
        h = \alpha_S \odot s + \alpha_T \odot t

    The weights start at 0.1 and 0.9, the paper's best. (It trains both networks and stitches both;
    here the source is frozen, so that nothing is stitched into it.)

    Example:
        >>> unit = CrossStitch(4)
        >>> unit(torch.ones(2, 4), torch.zeros(2, 4))[0]
        tensor([0.1000, 0.1000, 0.1000, 0.1000], grad_fn=<SelectBackward0>)
    """

    def __init__(
        self,
        source_size: int,
        target_size: int | None = None,
        *,
        axis: int = -1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(source_size, target_size, axis=axis, device=device, dtype=dtype)
        self.source_weight = nn.Parameter(torch.full((self.size,), 0.1, device=device, dtype=dtype))
        self.target_weight = nn.Parameter(torch.full((self.size,), 0.9, device=device, dtype=dtype))

    def weights(self) -> tuple[Tensor, Tensor]:
        """Both, `(features,)`."""
        return self.source_weight, self.target_weight


class SideBlend(LinearUnit):
    r"""The blend of side-tuning (Zhang et al., ECCV 2020): one learned share for all features.

    .. math::
        h = \alpha s + (1 - \alpha) t, \quad \alpha = \sigma(a)

    It starts at a half.

    Example:
        >>> SideBlend(2)(torch.ones(1, 2), torch.zeros(1, 2)).tolist()
        [[0.5, 0.5]]
    """

    def __init__(
        self,
        source_size: int,
        target_size: int | None = None,
        *,
        axis: int = -1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(source_size, target_size, axis=axis, device=device, dtype=dtype)
        self.logit = nn.Parameter(torch.zeros((), device=device, dtype=dtype))

    def weights(self) -> tuple[Tensor, Tensor]:
        """Both, numbers."""
        alpha = torch.sigmoid(self.logit)
        return alpha, 1 - alpha
