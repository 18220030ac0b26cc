"""Batch norm over batches of which every process reads a part."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm

from ptu_seq.distributed import world_size


class WholeBatchNorm:
    r"""Has a network's batch norms read the statistics of whole batches, not of a process's part.

    With the sums over all processes' examples and positions, :math:`n` in all,

    .. math::
        \mu = \frac1n \sum_i x_i \qquad \sigma^2 = \frac1n \sum_i (x_i - \mu)^2

    so that they do what they would in a single process, on any device (torch's `SyncBatchNorm` is
    for GPUs alone). What sleeps, in eval mode, is left alone; in a single process all is.

    Args:
        model: the network.

    Attributes:
        takes_part: whether this process's examples count; False where it has none of a batch.
    """

    def __init__(self, model: nn.Module) -> None:
        self.takes_part = True
        self._norms: list[_BatchNorm] = []
        if world_size() > 1:
            self._norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
        for norm in self._norms:
            norm.forward = partial(self._forward, norm)  # type: ignore[method-assign]

    def close(self) -> None:
        """Leaves the network as it was."""
        for norm in self._norms:
            del norm.forward
        self._norms.clear()

    def _forward(self, norm: _BatchNorm, x: Tensor) -> Tensor:
        if not norm.training:
            return type(norm).forward(norm, x)
        dims = [dim for dim in range(x.dim()) if dim != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        values, counts = x.float(), float(self.takes_part)
        count = values.new_tensor([counts * x.numel() / x.shape[1]])
        sums = sum_of_all(torch.cat([counts * values.sum(dims), count]))
        n, mean = sums[-1].detach(), sums[:-1] / sums[-1].detach()
        centred = values - mean.view(shape)
        variance = sum_of_all(counts * centred.square().sum(dims)) / n
        _keep(norm, mean.detach(), variance.detach(), n)
        normal = centred * (variance + norm.eps).rsqrt().view(shape)
        if norm.affine:
            normal = normal * norm.weight.view(shape) + norm.bias.view(shape)
        return normal.to(x.dtype)


def sum_of_all(x: Tensor) -> Tensor:
    """The sum of all processes' tensors, through which gradients flow back to each of them."""
    total: Tensor = _SumOfAll.apply(x)
    return total


class _SumOfAll(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


@torch.no_grad()
def _keep(norm: _BatchNorm, mean: Tensor, variance: Tensor, n: Tensor) -> None:
    """Updates the running statistics, as torch does with the unbiased variance."""
    if norm.running_mean is None or norm.running_var is None:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean), share)
    norm.running_var.lerp_((variance * n / (n - 1)).to(norm.running_var), share)
