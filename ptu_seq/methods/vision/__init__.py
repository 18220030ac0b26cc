"""The transfer methods of images, one file each; `IMAGE_METHODS` has them by name."""

from ptu_seq.errors import UserError, closest
from ptu_seq.methods.vision.base import ImageMethod, ImageTask
from ptu_seq.methods.vision.cross_stitch import CrossStitchTransfer
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

IMAGE_METHODS: dict[str, ImageMethod] = {
    method.name: method
    for method in (
        *(Scratch(), Frozen(), FineTune(), PTUTransfer()),
        *(LinearProbe(), LPFT(), GradualUnfreezing(), L2SP(), CrossStitchTransfer(), SideTuning()),
        LayerSearch(),
    )
}


def get_image_method(name: str) -> ImageMethod:
    """The method of that name.

    Raises:
        UserError: if there is none; the closest name is suggested.
    """
    if name not in IMAGE_METHODS:
        raise UserError(
            f"no image method is named {name!r}{closest(name, IMAGE_METHODS)}; accepted: "
            f"{', '.join(IMAGE_METHODS)}."
        )
    return IMAGE_METHODS[name]


__all__ = ["IMAGE_METHODS", "ImageMethod", "ImageTask", "get_image_method"]
