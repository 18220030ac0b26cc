"""The weights of a source or parent that a study keeps: noted when written, checked when found."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ptu_seq.errors import UserError
from ptu_seq.records import to_disk

WEIGHTS = "model.safetensors"


def weights_digest(folder: Path) -> str:
    """16 hexadecimal digits that stand for the weights of a model's folder."""
    with (folder / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def weights_note(folder: Path) -> dict[str, str]:
    """What is noted of weights that were just written, which then are on the disk."""
    to_disk(folder / WEIGHTS)
    return {"weights": weights_digest(folder)}


def check_weights(folder: Path, note: Mapping[str, Any]) -> None:
    """Checks that weights are those of a note; one without them (of version 0.1) says nothing.

    Raises:
        UserError: if they are lost, or others: runs would differ, and nobody would know.
    """
    now = weights_digest(folder) if (folder / WEIGHTS).is_file() else None
    if now is None or note.get("weights", now) != now:
        raise UserError(
            f"{folder / WEIGHTS} is damaged or was exchanged: remove {folder}, and the same "
            "command makes it anew."
        )
