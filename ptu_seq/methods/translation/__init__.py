"""The transfer methods of translation, one file each; `TRANSLATION_METHODS` has them by name."""

from ptu_seq.errors import UserError, closest
from ptu_seq.methods.translation.base import TranslationMethod, TranslationTask
from ptu_seq.methods.translation.fine_tune import FineTune
from ptu_seq.methods.translation.frozen import Frozen
from ptu_seq.methods.translation.gradual_unfreezing import GradualUnfreezing
from ptu_seq.methods.translation.l2_sp import L2SP
from ptu_seq.methods.translation.layer_search import LayerSearch
from ptu_seq.methods.translation.linear_probe import LinearProbe
from ptu_seq.methods.translation.lp_ft import LPFT
from ptu_seq.methods.translation.ptu import PTUTransfer
from ptu_seq.methods.translation.scratch import Scratch
from ptu_seq.methods.translation.zoph import Zoph

TRANSLATION_METHODS: dict[str, TranslationMethod] = {
    method.name: method
    for method in (
        Scratch(),
        Frozen(),
        FineTune(),
        Zoph(),
        PTUTransfer(),
        LinearProbe(),
        LPFT(),
        GradualUnfreezing(),
        L2SP(),
        LayerSearch(),
    )
}


def get_translation_method(name: str) -> TranslationMethod:
    """The method of that name.

    Raises:
        UserError: if there is none; the closest name is suggested.
    """
    if name not in TRANSLATION_METHODS:
        raise UserError(
            f"no translation method is named {name!r}{closest(name, TRANSLATION_METHODS)}; "
            f"accepted: {', '.join(TRANSLATION_METHODS)}."
        )
    return TRANSLATION_METHODS[name]


__all__ = [
    "TRANSLATION_METHODS",
    "TranslationMethod",
    "TranslationTask",
    "get_translation_method",
]
