"""Ranges of numeric arguments, declared where the argument is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_type_hints

from ptu_seq.errors import UserError


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both included, as an annotation of a dataclass's field.

    Example:
        >>> str(Range(1)), str(Range(0, 1))
        ('at least 1', 'from 0 to 1')
    """

    low: float
    high: float = math.inf

    def __contains__(self, value: float) -> bool:
        return math.isfinite(value) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"from {self.low} to {self.high}" if self.high < math.inf else f"at least {self.low}"


class Checked:
    """A dataclass whose fields are checked against the ranges they are annotated with.

    Raises:
        UserError: for the first value outside, named as the flag that sets it.

    Example:
        >>> from ptu_seq.training import TrainingOptions
        >>> TrainingOptions(batch_size=0)
        Traceback (most recent call last):
        ptu_seq.errors.UserError: --batch_size is 0; accepted is at least 1.
    """

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            for accepted in getattr(hint, "__metadata__", ()):
                if isinstance(accepted, Range) and getattr(self, name) not in accepted:
                    raise UserError(f"--{name} is {getattr(self, name)}; accepted is {accepted}.")
