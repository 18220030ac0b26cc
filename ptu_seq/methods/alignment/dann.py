"""DANN: domain-adversarial training (Ganin et al., JMLR 2016)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ptu_seq.methods.alignment.base import Alignment
from ptu_seq.methods.readers import Activations, DomainReader

#: Adam's, of the network that tells the domains apart.
DISCRIMINATOR_LEARNING_RATE = 1e-3


class DANN(Alignment):
    r"""A network learns to tell the tasks' features apart, and the features learn to prevent it.

    The loss is that of telling the domains apart; on its way back to the features the gradient is
    turned round and, as training goes from `p` = 0 to 1, multiplied by

    .. math::
        \lambda_p = \frac{2}{1 + \exp(-10 p)} - 1

    (section 5.2.2), so that at first only the discriminator learns.
    """

    name = "dann"
    strength = 0.25

    def __init__(self, reader: DomainReader, strength: float) -> None:
        super().__init__(reader, strength)
        size = reader.size
        self.discriminator = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, 1))

    def distance(self, source: Activations, target: Activations, progress: float) -> Tensor:
        """The discriminator's binary cross-entropy; its gradient is reversed at the features."""
        self.discriminator.to(source.features.device)
        scale = reversal_scale(progress)
        losses = [
            nn.functional.binary_cross_entropy_with_logits(scores, torch.full_like(scores, domain))
            for domain, activations in enumerate((source, target))
            for scores in [self.discriminator(reverse_gradient(activations.features, scale))]
        ]
        return (losses[0] + losses[1]) / 2

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The discriminator's weights."""
        return [
            {"params": list(self.discriminator.parameters()), "lr": DISCRIMINATOR_LEARNING_RATE}
        ]


def reversal_scale(progress: float) -> float:
    """How strongly a gradient is reversed, from 0 at the start to almost 1 at the end.

    Example:
        >>> reversal_scale(0.0), round(reversal_scale(0.5), 3)
        (0.0, 0.987)
    """
    return 2 / (1 + math.exp(-10 * progress)) - 1


def reverse_gradient(x: Tensor, scale: float) -> Tensor:
    """`x` itself; a gradient that comes back is multiplied by `-scale`.

    Example:
        >>> x = torch.ones(2, requires_grad=True)
        >>> reverse_gradient(x, 0.5).sum().backward()
        >>> x.grad
        tensor([-0.5000, -0.5000])
    """
    reversed_gradient: Tensor = _ReverseGradient.apply(x, scale)
    return reversed_gradient


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * gradients[0], None
