"""Metrics, and how sure we may be that one method is better than another.

Two questions are kept apart. *Would this difference hold on other test examples?* is answered by
:func:`paired_bootstrap`, which takes the trained networks as given. *Would it hold if we trained
again?* is answered by :func:`paired_seed_test`, which takes the test set as given. A difference
worth reporting passes both. Whether a method is better over many cells of a study is asked in
:mod:`ptu_seq.significance`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

# Below six pairs the smallest two-sided p of the signed-rank test, 2 / 2**n, is above 0.05.
WILCOXON_MINIMUM = 6


class ScoreSummary(NamedTuple):
    """Scores of one method over seeds; `std` and `interval` are None for a single seed."""

    mean: float
    std: float | None
    interval: tuple[float, float] | None


class BootstrapResult(NamedTuple):
    """Outcome of :func:`paired_bootstrap`; the difference is `a - b`."""

    difference: float
    p_value: float
    interval: tuple[float, float]


class SeedTest(NamedTuple):
    """Outcome of :func:`paired_seed_test`; a test that is not defined gives None."""

    t_test: float | None
    wilcoxon: float | None


@dataclass(frozen=True)
class Comparison:
    """One method against another on one target, over the seeds both have.

    Attributes:
        seeds: how many seeds were paired.
        difference: mean score of the method less that of the other, on the scores' own scale.
        wins: in how many seeds the method's score is strictly higher.
        p_value: two-sided p over test examples (:func:`paired_bootstrap`); None without
            predictions.
        interval: 95% interval of the difference over test examples; None without predictions.
        p_value_seeds: two-sided p of the paired t test over seeds; None where undefined.
        p_value_wilcoxon: the same by the signed-rank test; None with fewer than six seeds.
    """

    seeds: int
    difference: float
    wins: int
    p_value: float | None
    interval: tuple[float, float] | None
    p_value_seeds: float | None
    p_value_wilcoxon: float | None


def accuracy(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Share of examples whose prediction equals the label.

    Example:
        >>> accuracy([0, 1, 1, 2], [0, 1, 2, 2])
        0.75
    """
    truth, guess = _same_length(labels, predictions)
    return float(np.mean(truth == guess))


def macro_f1(labels: ArrayLike, predictions: ArrayLike) -> float:
    r"""Unweighted mean over classes of the harmonic mean of precision and recall.

    .. math:: F_1(c) = 2 \, TP_c / (2 \, TP_c + FP_c + FN_c)

    The classes are those that occur among the labels or the predictions, as in scikit-learn.

    Example:
        >>> macro_f1([0, 0, 1, 1], [0, 1, 1, 1])  # (2/3 + 4/5) / 2
        0.7333333333333334
    """
    truth, guess = _same_length(labels, predictions)
    classes = np.union1d(truth, guess)[:, None]
    is_class, said_class = truth == classes, guess == classes
    hits = (is_class & said_class).sum(axis=1)
    return float(np.mean(2 * hits / (is_class.sum(axis=1) + said_class.sum(axis=1))))


def summarise_scores(scores: Sequence[float], confidence: float = 0.95) -> ScoreSummary:
    """Mean, sample standard deviation (`ddof=1`) and Student's t interval of the mean.

    The interval assumes that seeds are independent draws and their mean is near normal; it speaks
    of other seeds on the same test set, not of other test sets.

    Raises:
        ValueError: without any score.

    Example:
        >>> summarise_scores([0.25, 0.5, 0.75])[:2]
        (0.5, 0.25)
    """
    values = np.asarray(scores, dtype=float)
    if values.size == 0:
        raise ValueError("summarise_scores: there is no score to summarise.")
    mean = float(values.mean())
    if values.size == 1:
        return ScoreSummary(mean, None, None)
    std = float(values.std(ddof=1))
    margin = float(stats.t.ppf((1 + confidence) / 2, values.size - 1)) * std / values.size**0.5
    return ScoreSummary(mean, std, (mean - margin, mean + margin))


def paired_bootstrap(
    labels: ArrayLike,
    predictions_a: ArrayLike,
    predictions_b: ArrayLike,
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> BootstrapResult:
    r"""Is the difference in accuracy larger than the choice of test examples explains?

    With `k` seeds and test labels `y`, each example counts by its mean difference in correctness

    .. math:: d_i = \frac{1}{k} \sum_j [a_{ji} = y_i] - [b_{ji} = y_i]

    and the statistic is the mean of `d`. Test examples are drawn with replacement, the same ones
    for both methods and for every seed, so that neither the pairing nor the dependence between
    seeds, which share the test set, is lost. Seeds add no examples: more of them make `d` less
    noisy, not the test set larger.

    Assumes that test examples are independent draws from the domain and that there are enough of
    them (some tens at least) for the sample to stand for it. The trained networks are taken as
    given. `p_value` is twice the smaller share of resamples whose difference is at most, or at
    least, zero (observed sample counted, at most 1): it is below 0.05 when the 95% percentile
    interval leaves out zero. It is 1 when both methods are right on exactly the same examples.

    Since `k * d` takes at most `2k + 1` values, a resample is a multinomial draw of how often
    each occurs: exactly the same distribution, at a cost that does not grow with the test set.

    Args:
        labels: true classes, `(n_examples,)`.
        predictions_a: classes by the first method, `(n_seeds, n_examples)` or `(n_examples,)`.
        predictions_b: by the second, of the same shape and with seeds in the same order.
        resamples: how many bootstrap samples.
        confidence: coverage of the percentile interval.
        seed: of the resampling; the same seed gives the same numbers.

    Returns:
        The observed difference `a - b`, its two-sided p and its interval.

    Raises:
        ValueError: if the shapes do not agree or there are no examples.

    Example:
        >>> labels = [0, 1] * 50
        >>> paired_bootstrap(labels, labels, [0] * 100).difference
        0.5
    """
    truth = np.asarray(labels)
    a, b = np.atleast_2d(predictions_a), np.atleast_2d(predictions_b)
    if truth.ndim != 1 or truth.size == 0 or a.shape != b.shape or a.shape[1:] != truth.shape:
        raise ValueError(
            f"paired_bootstrap: labels have shape {truth.shape} and the predictions {a.shape} and "
            f"{b.shape}; expected (n_examples,) and twice (n_seeds, n_examples)."
        )
    differences = (a == truth).sum(axis=0) - (b == truth).sum(axis=0)
    values, counts = np.unique(differences, return_counts=True)
    rng = np.random.default_rng(seed)
    # Sums stay integers, so that a resample without any difference is exactly zero.
    sums = rng.multinomial(truth.size, counts / truth.size, size=resamples) @ values
    at_most, at_least = np.sum(sums <= 0) + 1, np.sum(sums >= 0) + 1
    low, high = np.quantile(sums / a.size, [(1 - confidence) / 2, (1 + confidence) / 2])
    return BootstrapResult(
        difference=float(differences.sum() / a.size),
        p_value=float(min(1.0, 2 * min(at_most, at_least) / (resamples + 1))),
        interval=(float(low), float(high)),
    )


def paired_seed_test(scores_a: Sequence[float], scores_b: Sequence[float]) -> SeedTest:
    """Is the difference larger than retraining with another seed explains?

    Both tests see one difference a seed, so a seed must mean the same for both methods (the same
    training subset, the same data order). They take the test set as given. `t_test` is the
    two-sided p of the paired t test: how often differences of mean zero, drawn independently from
    one normal distribution, would lie as far from zero. `wilcoxon` is that of the signed-rank
    test, which replaces the normal distribution by any symmetric one and needs six seeds to be
    able to reach 0.05.

    Where every difference is zero, p is 1. With fewer than two seeds, or differences that are all
    the same but not zero (no spread to measure them against), the t test is undefined: None.

    Args:
        scores_a: one score a seed.
        scores_b: the other method's, seeds in the same order.

    Raises:
        ValueError: if the numbers of scores differ.

    Example:
        >>> round(paired_seed_test([0.71, 0.74, 0.72], [0.70, 0.72, 0.69]).t_test, 4)
        0.0742
    """
    if len(scores_a) != len(scores_b):
        raise ValueError(
            f"paired_seed_test: there are {len(scores_a)} scores and {len(scores_b)}; "
            "expected one of each for every seed."
        )
    # Rounding removes float noise, which would break ties and make up a spread.
    differences = np.round(np.subtract(scores_a, scores_b, dtype=float), 12)
    enough = differences.size >= WILCOXON_MINIMUM
    if differences.size < 2:
        return SeedTest(None, None)
    if not differences.any():
        return SeedTest(1.0, 1.0 if enough else None)
    t_test = float(stats.ttest_1samp(differences, 0).pvalue) if np.ptp(differences) else None
    return SeedTest(t_test, float(stats.wilcoxon(differences).pvalue) if enough else None)


def compare(
    scores_a: Sequence[float],
    scores_b: Sequence[float],
    labels: ArrayLike | None = None,
    predictions_a: ArrayLike | None = None,
    predictions_b: ArrayLike | None = None,
) -> Comparison:
    """Method `a` against method `b`: both tests and the number of seeds won.

    Args:
        scores_a: one score a seed.
        scores_b: the other method's, seeds in the same order.
        labels: true classes, `(n_examples,)`; without them, or without predictions, there is no
            test over examples.
        predictions_a: `(n_seeds, n_examples)`.
        predictions_b: `(n_seeds, n_examples)`.
    """
    over_seeds = paired_seed_test(scores_a, scores_b)
    over_examples = (
        None
        if labels is None or predictions_a is None or predictions_b is None
        else paired_bootstrap(labels, predictions_a, predictions_b)
    )
    return Comparison(
        seeds=len(scores_a),
        difference=float(np.mean(scores_a) - np.mean(scores_b)),
        wins=sum(a > b for a, b in zip(scores_a, scores_b, strict=True)),
        p_value=over_examples.p_value if over_examples else None,
        interval=over_examples.interval if over_examples else None,
        p_value_seeds=over_seeds.t_test,
        p_value_wilcoxon=over_seeds.wilcoxon,
    )


def _same_length(labels: ArrayLike, predictions: ArrayLike) -> tuple[NDArray, NDArray]:
    truth, guess = np.asarray(labels), np.asarray(predictions)
    if truth.ndim != 1 or truth.shape != guess.shape or truth.size == 0:
        raise ValueError(
            f"labels have shape {truth.shape} and predictions {guess.shape}; "
            "expected the same (n_examples,), at least one example."
        )
    return truth, guess
