"""The methods on a pretrained encoder, one file each; `ENCODER_METHODS` has them by name."""

from typing import Any

from ptu_seq.errors import UserError, closest
from ptu_seq.methods.base import Method
from ptu_seq.methods.encoders.fine_tune import FineTune
from ptu_seq.methods.encoders.linear_probe import LinearProbe
from ptu_seq.methods.encoders.lora import LoRA
from ptu_seq.methods.encoders.lstm import PTULSTM, ScratchLSTM
from ptu_seq.methods.encoders.ptu import PTUTransfer

ENCODER_METHODS: dict[str, Method[Any, Any]] = {
    method.name: method
    for method in (
        *(LinearProbe(), FineTune(), LoRA(), PTUTransfer()),
        *(ScratchLSTM(), PTULSTM()),
    )
}


def get_encoder_method(name: str) -> Method[Any, Any]:
    """The method of that name.

    Raises:
        UserError: if there is none; the closest name is suggested.
    """
    if name not in ENCODER_METHODS:
        raise UserError(
            f"no method on a pretrained encoder is named {name!r}"
            f"{closest(name, ENCODER_METHODS)}; accepted: {', '.join(ENCODER_METHODS)} (--preset "
            "encoder names four of them)."
        )
    return ENCODER_METHODS[name]


__all__ = ["ENCODER_METHODS", "get_encoder_method"]
