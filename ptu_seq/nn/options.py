"""The options of a unit, as every module that makes units accepts them."""

from __future__ import annotations

from typing import TypedDict

import torch

from ptu_seq.unit import Candidate, CandidateInit


class UnitOptions(TypedDict, total=False):
    """Keyword arguments passed on to :class:`ptu_seq.PTU`, where they are explained."""

    candidate: Candidate
    candidate_init: CandidateInit
    fine_tune_bias: float
    update_bias: float
    gate_dropout: float


class PlacedUnitOptions(UnitOptions, total=False):
    """The same, with the place and the type of a module's parameters."""

    device: torch.device | str | None
    dtype: torch.dtype | None
