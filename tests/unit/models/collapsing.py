"""What the tests of collapsed classifiers and translators share."""

from __future__ import annotations

from typing import Any, get_args

import torch

from ptu_seq.unit import Pin

STATES: tuple[Pin | None, ...] = (None, *get_args(Pin))


def logits(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.inference_mode():
        return model(**batch).logits


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
