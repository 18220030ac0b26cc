"""The transfer methods, one file each; `METHODS` has them by the name used everywhere."""

from ptu_seq.errors import UserError, closest
from ptu_seq.methods.base import Setting, Task, TransferMethod
from ptu_seq.methods.cross_stitch import CrossStitchTransfer
from ptu_seq.methods.fine_tune import FineTune
from ptu_seq.methods.frozen import Frozen
from ptu_seq.methods.gradual_unfreezing import GradualUnfreezing
from ptu_seq.methods.l2_sp import L2SP
from ptu_seq.methods.layer_search import LayerSearch
from ptu_seq.methods.linear_probe import LinearProbe
from ptu_seq.methods.lp_ft import LPFT
from ptu_seq.methods.ptu import PTUTransfer
from ptu_seq.methods.scratch import Scratch
from ptu_seq.methods.side_tuning import SideTuning

METHODS: dict[str, TransferMethod] = {
    method.name: method
    for method in (
        *(Scratch(), Frozen(), FineTune(), PTUTransfer()),
        *(LinearProbe(), LPFT(), GradualUnfreezing(), L2SP(), CrossStitchTransfer(), SideTuning()),
        LayerSearch(),
    )
}


def get_method(name: str) -> TransferMethod:
    """The method of that name.

    Raises:
        UserError: if there is none; the closest name is suggested.
    """
    if name not in METHODS:
        raise UserError(
            f"no method is named {name!r}{closest(name, METHODS)}; accepted: {', '.join(METHODS)}."
        )
    return METHODS[name]


__all__ = ["METHODS", "Setting", "Task", "TransferMethod", "get_method"]
