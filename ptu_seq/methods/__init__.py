"""The transfer methods, one file each; `METHODS` has them by the name used everywhere."""

from typing import Any

from ptu_seq.methods.alignment import ALIGNMENTS, Companion
from ptu_seq.methods.base import Method, Setting, Task, TransferMethod
from ptu_seq.methods.cross_stitch import CrossStitchTransfer
from ptu_seq.methods.distillation import Distillation
from ptu_seq.methods.fine_tune import FineTune
from ptu_seq.methods.frozen import Frozen
from ptu_seq.methods.gradual_unfreezing import GradualUnfreezing
from ptu_seq.methods.l2_sp import L2SP
from ptu_seq.methods.layer_search import LayerSearch
from ptu_seq.methods.linear_probe import LinearProbe
from ptu_seq.methods.lp_ft import LPFT
from ptu_seq.methods.names import find_method
from ptu_seq.methods.ptu import PTUTransfer
from ptu_seq.methods.scratch import Scratch
from ptu_seq.methods.side_tuning import SideTuning

METHODS: dict[str, Method[Any, Any]] = {
    method.name: method
    for method in (
        *(Scratch(), Frozen(), FineTune(), PTUTransfer()),
        *(LinearProbe(), LPFT(), GradualUnfreezing(), L2SP(), CrossStitchTransfer(), SideTuning()),
        *(LayerSearch(), Distillation()),
        *(Companion(FineTune(), alignment, name) for name, alignment in ALIGNMENTS.items()),
    )
}


def get_method(name: str) -> Method[Any, Any]:
    """The method of that name, of a companion alone, or of both as in "ptu+dann".

    Raises:
        UserError: if there is none; the closest name is suggested.
    """
    return find_method(name, METHODS, ALIGNMENTS)


__all__ = ["METHODS", "Method", "Setting", "Task", "TransferMethod", "get_method"]
