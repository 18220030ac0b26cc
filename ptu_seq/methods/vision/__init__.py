"""The transfer methods of images, one file each; `IMAGE_METHODS` has them by name."""

from typing import Any

from ptu_seq.methods.alignment import ALIGNMENTS, Companion
from ptu_seq.methods.base import Method
from ptu_seq.methods.names import find_method
from ptu_seq.methods.vision.cross_stitch import CrossStitchTransfer
from ptu_seq.methods.vision.distillation import Distillation
from ptu_seq.methods.vision.fine_tune import FineTune
from ptu_seq.methods.vision.frozen import Frozen
from ptu_seq.methods.vision.gradual_unfreezing import GradualUnfreezing
from ptu_seq.methods.vision.l2_sp import L2SP
from ptu_seq.methods.vision.layer_search import LayerSearch
from ptu_seq.methods.vision.linear_probe import LinearProbe
from ptu_seq.methods.vision.lp_ft import LPFT
from ptu_seq.methods.vision.ptu import PTUTransfer
from ptu_seq.methods.vision.scratch import Scratch
from ptu_seq.methods.vision.side_tuning import SideTuning

IMAGE_METHODS: dict[str, Method[Any, Any]] = {
    method.name: method
    for method in (
        *(Scratch(), Frozen(), FineTune(), PTUTransfer()),
        *(LinearProbe(), LPFT(), GradualUnfreezing(), L2SP(), CrossStitchTransfer(), SideTuning()),
        *(LayerSearch(), Distillation()),
        *(Companion(FineTune(), alignment, name) for name, alignment in ALIGNMENTS.items()),
    )
}


def get_image_method(name: str) -> Method[Any, Any]:
    """The method of that name, of a companion alone, or of both as in "ptu+dann".

    Raises:
        UserError: if there is none; the closest name is suggested.
    """
    return find_method(name, IMAGE_METHODS, ALIGNMENTS)


__all__ = ["IMAGE_METHODS", "get_image_method"]
