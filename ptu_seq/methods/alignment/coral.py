"""Deep CORAL: correlation alignment (Sun & Saenko, ECCV 2016 workshops)."""

from __future__ import annotations

import torch
from torch import Tensor

from ptu_seq.methods.alignment.base import Alignment
from ptu_seq.methods.readers import Activations


class CORAL(Alignment):
    r"""The squared distance of the covariances of the features."""

    name = "coral"
    strength = 1.0

    def distance(self, source: Activations, target: Activations, progress: float) -> Tensor:
        """See :func:`coral_loss`."""
        return coral_loss(source.features, target.features)


def coral_loss(x: Tensor, y: Tensor) -> Tensor:
    r"""The distance of two samples' covariances.

    .. math::
        \frac{1}{4 d^2} \lVert C_x - C_y \rVert_F^2

    (eq. 1), with `d` features and the unbiased covariances.

    Shape:
        - x: `(m, d)`, y: `(n, d)`, of two points each at least

    Example:
        >>> x = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
        >>> coral_loss(x, 2 * x)  # the variance of the first feature is 2, then 8
        tensor(2.2500)
    """
    difference = torch.cov(x.T).sub(torch.cov(y.T))
    return difference.square().sum() / (4 * x.shape[1] ** 2)
