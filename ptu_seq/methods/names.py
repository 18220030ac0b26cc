"""Methods by their names, those with a companion too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ptu_seq.errors import UserError, closest
from ptu_seq.methods.alignment import Alignment, Companion
from ptu_seq.methods.base import Method


def find_method(
    name: str, methods: Mapping[str, Method[Any, Any]], alignments: Mapping[str, type[Alignment]]
) -> Method[Any, Any]:
    """The method of a name; a companion's name follows a plus: "ptu+dann".

    Args:
        name: what a flag says.
        methods: those that stand alone, by name.
        alignments: the companions' losses, by name.

    Raises:
        UserError: if there is none, or the two cannot join; the closest name is suggested.
    """
    alone, plus, companion = name.partition("+")
    if alone not in methods:
        raise UserError(
            f"no method is named {alone!r}{closest(alone, methods)}; accepted: "
            f"{', '.join(methods)}; and with a companion, as in ptu+dann."
        )
    method = methods[alone]
    if not plus:
        return method
    if companion not in alignments:
        raise UserError(
            f"{name}: no companion is named {companion!r}{closest(companion, alignments)}; "
            f"accepted: {', '.join(alignments)}."
        )
    if alone == "fine_tune":
        raise UserError(f"{name}: a companion beside fine-tuning is called {companion!r} alone.")
    if not method.joins:
        raise UserError(
            f"{name}: {alone} takes no companion; accepted are "
            f"{', '.join(n for n, m in methods.items() if m.joins and n != 'fine_tune')}."
        )
    return Companion(method, alignments[companion], name)
