"""How a translator is trained: the options that recipes show as flags."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, get_args

from ptu_seq.errors import UserError, closest
from ptu_seq.ranges import Checked, Range
from ptu_seq.trainer_setup import check_tracker

ValidationMetric = Literal["bleu", "chrf"]
Schedule = Literal["linear", "inverse_sqrt", "plateau"]


@dataclass(frozen=True)
class TranslationTrainingOptions(Checked):
    """How a translator is trained; the same for every method.

    Args:
        batch_tokens: tokens in an optimisation step, padding included.
        epochs: passes over the training data, within the limits below.
        min_steps: optimisation steps at least, however few the examples.
        max_steps: optimisation steps at most, however many the examples.
        metric: the validation score, by which training stops and weights are kept. BLEU is what
            tables report, and its precision punishes the repetitions of a half-trained decoder,
            which the recall in chrF rewards; chrF is less noisy where BLEU stays below 2 or so.
        validation_sentences: of so many validation sentences at most, always the same ones.
        evaluations: how often in training the validation score is taken.
        patience: evaluations without a better score after which training stops.
        average_checkpoints: the weights of so many best evaluations are averaged at the end; the
            average is kept where its validation score is no worse than the best one's.
        schedule: of the learning rate after its warm-up: "linear" (falls to 0 with the last step),
            "inverse_sqrt" (Vaswani et al. 2017) or "plateau" (halves where the validation score
            has not risen for two evaluations).
        warmup_ratio: share of the steps in which the learning rate rises.
        max_grad_norm: gradients are clipped to this norm; 0 leaves them.
        weight_decay: of AdamW.
        gradient_accumulation_steps: parts into which a batch is cut, to save memory; the loss is
            the mean over the tokens of all parts.
        report_to: a tracker that transformers knows ("tensorboard", "wandb", ...), "all" that are
            installed, or "none".
        checkpoint_seconds: seconds between the checkpoints from which an interrupted training goes
            on; 0: it begins anew.

    Raises:
        UserError: if a value is out of its range, or the tracker is not installed.
    """

    _argument_group_name: ClassVar[str] = "training"

    batch_tokens: Annotated[int, Range(1)] = field(
        default=1024, metadata={"help": "tokens in an optimisation step"}
    )
    epochs: Annotated[float, Range(0)] = field(
        default=40.0, metadata={"help": "passes over a pair's training sentences"}
    )
    min_steps: Annotated[int, Range(1)] = field(
        default=400, metadata={"help": "optimisation steps at least, unless --max_steps is less"}
    )
    max_steps: Annotated[int, Range(1)] = field(
        default=2000, metadata={"help": "optimisation steps at most"}
    )
    metric: ValidationMetric = field(
        default="bleu", metadata={"help": "validation score that stops training, keeps weights"}
    )
    validation_sentences: Annotated[int, Range(1)] = field(
        default=500, metadata={"help": "validation sentences translated at an evaluation, at most"}
    )
    evaluations: Annotated[int, Range(1)] = field(
        default=10, metadata={"help": "validation scores taken in training"}
    )
    patience: Annotated[int, Range(1)] = field(
        default=4, metadata={"help": "evaluations without a better score that end training"}
    )
    average_checkpoints: Annotated[int, Range(1)] = field(
        default=3, metadata={"help": "best evaluations whose weights are averaged; 1: the best's"}
    )
    schedule: Schedule = field(
        default="linear", metadata={"help": "how the learning rate falls after its warm-up"}
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
        _check_choice("metric", self.metric, get_args(ValidationMetric))
        _check_choice("schedule", self.schedule, get_args(Schedule))
        check_tracker(self.report_to)

    @property
    def part_tokens(self) -> int:
        """Tokens of each part into which a batch is cut."""
        return max(1, self.batch_tokens // self.gradient_accumulation_steps)

    def steps(self, batches: int) -> int:
        """The step budget where an epoch has so many batches.

        Cut down to a multiple of what lies between evaluations, so that one follows the last step.
        """
        wanted = math.ceil(self.epochs * batches)
        steps = min(max(wanted, self.min_steps), self.max_steps)
        return max(1, steps // self.evaluations) * min(self.evaluations, steps)


def _check_choice(name: str, value: str, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise UserError(
            f"--{name} is {value!r}{closest(value, accepted)}; accepted: {', '.join(accepted)}."
        )
