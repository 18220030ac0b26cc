"""What differs between metrics: scale, words, rivals, and the test over test examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

from ptu_seq.evaluation import paired_bootstrap

#: How the fields of a run's `scores` are called in tables.
SCORE_NAMES = {"bleu": "BLEU", "chrf": "chrF", "ter": "TER"}
LESS_IS_BETTER = ("ter",)


class ExampleTest(NamedTuple):
    """Would a difference hold on other test examples? The signature tells how it was asked."""

    p_value: float
    interval: tuple[float, float]
    signature: str | None = None


@dataclass(frozen=True)
class Task:
    """The words of a task, and whom it is won against.

    Args:
        source: what is transferred from.
        target: what is transferred to.
        examples: what data sets consist of.
        rivals: the methods that the headline measures `ptu` against, where all of them ran.
    """

    source: str
    target: str
    examples: str
    rivals: tuple[str, str]


@dataclass(frozen=True)
class Metric:
    """A score of which more is better.

    Args:
        task: what it scores.
        name: as in captions.
        axis: as on an axis.
        unit: what differences are counted in.
        range: what scores lie in, as shown.
        scale: units in a score of 1.
        test: compares two methods from the labels and, one list a seed, the predictions of both:
            classes, or texts for translations. None: there is no such test.
        test_name: what it is, as in the note on comparisons.
    """

    task: Task
    name: str
    axis: str
    unit: str
    range: str
    scale: float
    test: Callable[[Sequence[Any], Sequence[Any], Sequence[Any]], ExampleTest] | None
    test_name: str

    def text(self, score: float) -> str:
        """A score to one place."""
        return f"{self.scale * score:.1f}"

    def signed(self, difference: float) -> str:
        """A difference to two places, with its sign."""
        return f"{self.scale * difference:+.2f}"


def get_metric(name: str) -> Metric:
    """The metric of a summary; one that is not known is a share of 1 without a test.

    Example:
        >>> get_metric("accuracy").text(0.7312), get_metric("bleu").text(21.36)
        ('73.1', '21.4')
    """
    return METRICS.get(name) or _share(name.replace("_", " "), test=None)


def _test_classes(labels: Sequence[Any], ours: Sequence[Any], theirs: Sequence[Any]) -> ExampleTest:
    result = paired_bootstrap(labels, ours, theirs)
    return ExampleTest(result.p_value, result.interval)


def _test_translations(
    metric: Literal["bleu", "chrf"],
    references: Sequence[str],
    ours: Sequence[Sequence[str]],
    theirs: Sequence[Sequence[str]],
) -> ExampleTest:
    # Here, as classification has no use for sacrebleu.
    from ptu_seq.translation.evaluation import compare_runs

    result = compare_runs(references, ours, theirs, metric=metric)
    return ExampleTest(result.p_value, result.interval, result.signature)


def _share(name: str, test: Callable[..., ExampleTest] | None) -> Metric:
    return Metric(
        task=Task("source", "target", "examples", rivals=("frozen", "fine_tune")),
        name=f"{name} in percent",
        axis=f"{name} (%)",
        unit="points",
        range="percent",
        scale=100.0,
        test=test,
        test_name="paired bootstrap over test examples, the trained networks given",
    )


def _translation(metric: Literal["bleu", "chrf"]) -> Metric:
    name = SCORE_NAMES[metric]
    return Metric(
        task=Task("parent", "child", "sentences", rivals=("fine_tune", "zoph")),
        name=name,
        axis=name,
        unit=f"{name} points",
        range="0 to 100",
        scale=1.0,
        test=partial(_test_translations, metric),
        test_name=(
            "sacrebleu's paired bootstrap over test sentences, of the mean over seeds, the "
            "trained networks given; its p is one-sided in effect, so it may be below 0.05 where "
            "the interval still holds zero"
        ),
    )


METRICS = {
    "accuracy": _share("accuracy", test=_test_classes),
    "bleu": _translation("bleu"),
    "chrf": _translation("chrf"),
}
