r"""Maximum mean discrepancy: how far two samples are apart (Gretton et al., JMLR 2012)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def squared_mmd(x: Tensor, y: Tensor, multiples: Sequence[float] = (1.0,)) -> Tensor:
    r"""The unbiased estimate of the squared maximum mean discrepancy of two samples.

    .. math::
        \frac{1}{m (m - 1)} \sum_{i \ne j} k(x_i, x_j)
        + \frac{1}{n (n - 1)} \sum_{i \ne j} k(y_i, y_j)
        - \frac{2}{m n} \sum_{i, j} k(x_i, y_j)

    (Gretton et al., eq. 3), with `k` the mean of Gaussian kernels, one for each multiple of the
    median rule's bandwidth. Being unbiased it is 0 on average for samples of one distribution, and
    so is often below 0.

    Args:
        x: a sample.
        y: another.
        multiples: of the squared bandwidth, one for each kernel.

    Returns:
        A number; gradients flow to both samples, but not through the bandwidth.

    Shape:
        - x: `(m, features)`, y: `(n, features)`

    Raises:
        ValueError: if a sample has fewer than two points.

    Example:
        >>> near, far = torch.tensor([[0.0], [1.0]]), torch.tensor([[8.0], [9.0]])
        >>> bool(squared_mmd(near, far) > squared_mmd(near, near + 0.5))
        True
    """
    m, n = len(x), len(y)
    if min(m, n) < 2:
        raise ValueError(f"squared_mmd: samples of {m} and {n} points; 2 and more are accepted.")
    points = torch.cat([x, y])
    # Not by matrix products, which lose the digits of small distances.
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").square()
    width = squared_bandwidth(distances.detach())
    kernel = torch.stack([torch.exp(-distances / (2 * c * width)) for c in multiples]).mean(0)
    within_x = (kernel[:m, :m].sum() - m) / (m * (m - 1))  # k(x, x) is 1
    within_y = (kernel[m:, m:].sum() - n) / (n * (n - 1))
    return within_x + within_y - 2 * kernel[:m, m:].mean()


def squared_bandwidth(distances: Tensor) -> Tensor:
    """The median of the squared distances between different points, but never 0.

    Args:
        distances: squared, `(points, points)`.

    Example:
        >>> squared_bandwidth(torch.tensor([[0.0, 1.0, 4.0], [1.0, 0.0, 9.0], [4.0, 9.0, 0.0]]))
        tensor(4.)
    """
    rows, columns = torch.triu_indices(len(distances), len(distances), offset=1)
    median = distances[rows, columns].median()
    return median.clamp(min=torch.finfo(distances.dtype).tiny)
