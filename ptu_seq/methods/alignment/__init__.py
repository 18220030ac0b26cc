"""Companion methods: losses that draw source and target examples together, one file each."""

from ptu_seq.methods.alignment.base import Alignment
from ptu_seq.methods.alignment.companion import Companion
from ptu_seq.methods.alignment.coral import CORAL
from ptu_seq.methods.alignment.dan import DAN
from ptu_seq.methods.alignment.dann import DANN
from ptu_seq.methods.alignment.ddc import DDC

#: The companions by the name that follows a plus.
ALIGNMENTS: dict[str, type[Alignment]] = {
    alignment.name: alignment for alignment in (DDC, DAN, DANN, CORAL)
}

__all__ = ["ALIGNMENTS", "Alignment", "Companion"]
