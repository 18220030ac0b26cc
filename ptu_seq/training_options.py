"""How a classifier is trained: the options that recipes show as flags."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from ptu_seq.errors import UserError
from ptu_seq.ranges import Checked, Range
from ptu_seq.trainer_setup import check_tracker


@dataclass(frozen=True)
class TrainingOptions(Checked):
    """How a network is trained; the same for every method.

    Args:
        batch_size: examples in an optimisation step.
        epochs: passes over the training data, within the limits below.
        min_steps: optimisation steps at least, however few the examples.
        max_steps: optimisation steps at most, however many the examples.
        evaluations: how often in training the validation score is taken.
        patience: evaluations without a better score after which training stops.
        warmup_ratio: share of the steps in which the learning rate rises; then it falls linearly.
        max_grad_norm: gradients are clipped to this norm; 0 leaves them.
        weight_decay: of AdamW.
        gradient_accumulation_steps: parts into which a batch is cut, to save memory.
        report_to: a tracker that transformers knows ("tensorboard", "wandb", ...), "all" that are
            installed, or "none".
        checkpoint_seconds: seconds between the checkpoints from which an interrupted training goes
            on; 0: it begins anew.

    Raises:
        UserError: if a value is out of its range, or the tracker is not installed.
    """

    _argument_group_name: ClassVar[str] = "training"

    batch_size: Annotated[int, Range(1)] = field(
        default=32, metadata={"help": "examples in an optimisation step"}
    )
    epochs: Annotated[float, Range(0)] = field(
        default=12.0, metadata={"help": "passes over a target's examples"}
    )
    min_steps: Annotated[int, Range(1)] = field(
        default=400, metadata={"help": "optimisation steps at least, unless --max_steps is less"}
    )
    max_steps: Annotated[int, Range(1)] = field(
        default=1600, metadata={"help": "optimisation steps at most"}
    )
    evaluations: Annotated[int, Range(1)] = field(
        default=10, metadata={"help": "validation scores taken in training"}
    )
    patience: Annotated[int, Range(1)] = field(
        default=4, metadata={"help": "evaluations without a better score that end training"}
    )
    warmup_ratio: Annotated[float, Range(0, 1)] = field(
        default=0.1, metadata={"help": "share of steps of rising learning rate, before it falls"}
    )
    max_grad_norm: Annotated[float, Range(0)] = field(
        default=1.0, metadata={"help": "norm that gradients are clipped to; 0: not clipped"}
    )
    weight_decay: Annotated[float, Range(0, 1)] = field(
        default=0.0, metadata={"help": "weight decay of AdamW"}
    )
    gradient_accumulation_steps: Annotated[int, Range(1)] = field(
        default=1, metadata={"help": "parts into which a batch is cut, to save memory"}
    )
    report_to: str = field(
        default="none", metadata={"help": "tracker: tensorboard, wandb, ..., all, or none"}
    )
    checkpoint_seconds: Annotated[float, Range(0)] = field(
        default=60.0,
        metadata={
            "help": "seconds between checkpoints, from which an interrupted training goes on; "
            "0: none"
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size % self.gradient_accumulation_steps:
            raise UserError(
                f"--gradient_accumulation_steps is {self.gradient_accumulation_steps}, which does "
                f"not divide --batch_size {self.batch_size} into equal parts."
            )
        check_tracker(self.report_to)

    def steps(self, examples: int) -> int:
        """The step budget for so many training examples."""
        wanted = math.ceil(self.epochs * examples / self.batch_size)
        return min(max(wanted, self.min_steps), self.max_steps)
