"""The transfer methods of translation, one file each; `TRANSLATION_METHODS` has them by name."""

from typing import Any

from ptu_seq.methods.alignment import ALIGNMENTS, Alignment, Companion
from ptu_seq.methods.base import Method
from ptu_seq.methods.names import find_method
from ptu_seq.methods.translation.base import TranslationMethod, TranslationTask
from ptu_seq.methods.translation.coral import SentenceCORAL
from ptu_seq.methods.translation.cross_stitch import CrossStitchTransfer
from ptu_seq.methods.translation.distillation import Distillation
from ptu_seq.methods.translation.fine_tune import FineTune
from ptu_seq.methods.translation.frozen import Frozen
from ptu_seq.methods.translation.gradual_unfreezing import GradualUnfreezing
from ptu_seq.methods.translation.l2_sp import L2SP
from ptu_seq.methods.translation.layer_search import LayerSearch
from ptu_seq.methods.translation.linear_probe import LinearProbe
from ptu_seq.methods.translation.lp_ft import LPFT
from ptu_seq.methods.translation.ptu import PTUTransfer
from ptu_seq.methods.translation.scratch import Scratch
from ptu_seq.methods.translation.side_tuning import SideTuning
from ptu_seq.methods.translation.zoph import Zoph

#: The companions by the name that follows a plus.
TRANSLATION_ALIGNMENTS: dict[str, type[Alignment]] = {**ALIGNMENTS, "coral": SentenceCORAL}

TRANSLATION_METHODS: dict[str, Method[Any, Any]] = {
    method.name: method
    for method in (
        *(Scratch(), Frozen(), FineTune(), Zoph(), PTUTransfer()),
        *(LinearProbe(), LPFT(), GradualUnfreezing(), L2SP(), LayerSearch(), Distillation()),
        *(CrossStitchTransfer(), SideTuning()),
        *(
            Companion(FineTune(), alignment, name)
            for name, alignment in TRANSLATION_ALIGNMENTS.items()
        ),
    )
}


def get_translation_method(name: str) -> Method[Any, Any]:
    """The method of that name, of a companion alone, or of both as in "ptu+dann".

    Raises:
        UserError: if there is none; the closest name is suggested.
    """
    return find_method(name, TRANSLATION_METHODS, TRANSLATION_ALIGNMENTS)


__all__ = [
    "TRANSLATION_ALIGNMENTS",
    "TRANSLATION_METHODS",
    "TranslationMethod",
    "TranslationTask",
    "get_translation_method",
]
