"""DDC: deep domain confusion (Tzeng et al., arXiv 1412.3474)."""

from __future__ import annotations

from torch import Tensor

from ptu_seq.methods.alignment.base import Alignment
from ptu_seq.methods.alignment.mmd import squared_mmd
from ptu_seq.methods.readers import Activations


class DDC(Alignment):
    """The squared maximum mean discrepancy of the features: one layer, one kernel."""

    name = "ddc"
    strength = 1.0

    def distance(self, source: Activations, target: Activations, progress: float) -> Tensor:
        """See :func:`ptu_seq.methods.alignment.mmd.squared_mmd`."""
        return squared_mmd(source.features, target.features)
