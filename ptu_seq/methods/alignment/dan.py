"""DAN: deep adaptation networks (Long et al., ICML 2015)."""

from __future__ import annotations

from torch import Tensor

from ptu_seq.methods.alignment.base import Alignment
from ptu_seq.methods.alignment.mmd import squared_mmd
from ptu_seq.methods.readers import Activations

#: Of the squared bandwidth by the median rule: from far finer to far coarser.
MULTIPLES = tuple(2.0**power for power in range(-4, 5))


class DAN(Alignment):
    """Squared maximum mean discrepancies of the last layers, each by many kernels.

    The layers are what a classifier's last layer reads and, where the tasks have the same labels,
    its logits; of a translator the encoder's output and the decoder's first state. The kernels
    weigh alike, as in the authors' code; the paper also learns their weights.
    """

    name = "dan"
    strength = 1.0

    def distance(self, source: Activations, target: Activations, progress: float) -> Tensor:
        """The sum over layers; see :func:`ptu_seq.methods.alignment.mmd.squared_mmd`."""
        distance = squared_mmd(source.features, target.features, MULTIPLES)
        if source.above is not None and target.above is not None:
            distance = distance + squared_mmd(source.above, target.above, MULTIPLES)
        return distance
