"""Methods over many cells, a cell being a data set at one size (Demšar, JMLR 7:1-30, 2006).

:mod:`ptu_seq.evaluation` asks how sure a difference in one cell is. Here each cell gives one mean
score a method, and the question is whether a method is ahead *over cells*. Cells are taken as
independent draws. Sizes of one target share its test set, so they are less than that: many cells
of few targets say less than the p-values do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from ptu_seq.evaluation import WILCOXON_MINIMUM

#: A corrected p-value below this is called significant.
SIGNIFICANT = 0.05

#: Scores that agree to so many places are equal: what is beyond is float noise.
DECIMALS = 12

#: With so many differences scipy's permutation test goes through all signs, 2**13.
_EXACT_WITH_TIES = 13


class WinTieLoss(NamedTuple):
    """In how many cells a method is ahead of another, level with it and behind."""

    wins: int
    ties: int
    losses: int


class Friedman(NamedTuple):
    """Outcome of :func:`friedman_test`; `f_statistic` is None where all cells rank alike."""

    statistic: float
    p_value: float
    f_statistic: float | None
    f_p_value: float


def win_tie_loss(differences: ArrayLike) -> WinTieLoss:
    """Counts the cells that are won, tied (equal but for float noise) and lost.

    Example:
        >>> win_tie_loss([0.02, 0.3 - (0.1 + 0.2), -0.01, 0.04])
        WinTieLoss(wins=2, ties=1, losses=1)
    """
    signs = np.sign(_rounded(differences))
    return WinTieLoss(*(int(np.sum(signs == sign)) for sign in (1, 0, -1)))


def signed_rank_test(differences: ArrayLike) -> float | None:
    """Two-sided p of Wilcoxon's signed-rank test (1945) over cells.

    Differences of zero are left out, as Wilcoxon does and scipy by default. The p-value is exact
    with up to 50 others, or 13 where some are equally large; beyond that the normal approximation.

    Args:
        differences: one a cell, all on one scale.

    Returns:
        p; 1 where all differences are zero; None with fewer than six cells, of which no outcome
        has a p below 0.05.

    Example:
        >>> signed_rank_test([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])  # 2 / 2**6
        0.03125
    """
    values = _rounded(differences)
    if values.size < WILCOXON_MINIMUM:
        return None
    # Left out here and not by scipy, which would give up the exact distribution for them.
    others = values[values != 0]
    if not others.size:
        return 1.0
    sizes = np.abs(others)
    if others.size > _EXACT_WITH_TIES or np.unique(sizes).size == others.size:
        return float(stats.wilcoxon(others).pvalue)
    # As scipy's own test of few differences with ties, which takes seconds for the same p.
    ranks = np.sign(others) * stats.rankdata(sizes)
    return float(stats.permutation_test((ranks,), np.sum, permutation_type="samples").pvalue)


def rank_biserial(differences: ArrayLike) -> float:
    r"""Effect size over cells: the matched-pairs rank-biserial correlation (Kerby 2014).

    .. math:: r = (R^+ - R^-) / (R^+ + R^-)

    with the sums of the ranks of absolute differences that are positive and negative; zeros are
    left out, as in :func:`signed_rank_test`. 1: ahead in every cell; 0: as much ahead as behind.

    Example:
        >>> rank_biserial([0.3, 0.2, -0.1])  # (3 + 2 - 1) / 6
        0.6666666666666666
    """
    values = _rounded(differences)
    values = values[values != 0]
    if not values.size:
        return 0.0
    ranks = stats.rankdata(np.abs(values))
    return float(np.sum(np.sign(values) * ranks) / ranks.sum())


def paired_effect_size(scores_a: Sequence[float], scores_b: Sequence[float]) -> float | None:
    r"""Effect size over seeds: Cohen's d_z of paired scores, corrected for few seeds.

    .. math:: g_z = J(n - 1) \, \bar d / s_d, \quad
              J(m) = \Gamma(m / 2) / (\sqrt{m / 2} \, \Gamma((m - 1) / 2))

    with the mean and the sample standard deviation of the `n` differences (Cohen 1988) and
    Hedges' correction (1981), without which `d_z` is too large by a quarter with five seeds.

    Args:
        scores_a: one score a seed.
        scores_b: the other method's, seeds in the same order.

    Returns:
        The effect size; 0 where all differences are zero; None with fewer than three seeds, for
        which the correction is not defined, or where all differences are the same but not zero.

    Raises:
        ValueError: if the numbers of scores differ.

    Example:
        >>> round(paired_effect_size([0.71, 0.74, 0.72], [0.70, 0.72, 0.69]), 3)
        1.128
    """
    if len(scores_a) != len(scores_b):
        raise ValueError(
            f"paired_effect_size: there are {len(scores_a)} scores and {len(scores_b)}; "
            "expected one of each for every seed."
        )
    differences = _rounded(np.subtract(scores_a, scores_b, dtype=float))
    if differences.size < 3:
        return None
    if not differences.any():
        return 0.0
    if not np.ptp(differences):
        return None
    freedom = differences.size - 1
    ratio = special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2)
    correction = math.exp(ratio) / math.sqrt(freedom / 2)
    return float(correction * differences.mean() / differences.std(ddof=1))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    r"""Corrects for the number of tests: Holm's step-down procedure (1979).

    .. math:: \tilde p_{(i)} = \max_{j \le i} \min(1, (m - j + 1) \, p_{(j)})

    Whatever hypotheses are true, the chance that any of them is rejected where its corrected p is
    below a level is at most that level. Where there is no p, there is no test: it stays None and
    does not count.

    Example:
        >>> holm([0.01, None, 0.04, 0.03])
        [0.03, None, 0.06, 0.06]
    """
    order = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        corrected[i] = largest
    return corrected


def average_ranks(scores: ArrayLike) -> NDArray[np.float64]:
    """Mean rank of each method over cells: 1 is the highest score, equal ones share their ranks.

    Args:
        scores: `(cells, methods)`.

    Returns:
        `(methods,)`.

    Example:
        >>> average_ranks([[0.9, 0.8, 0.7], [0.8, 0.8, 0.9]])
        array([1.75, 2.25, 2.  ])
    """
    return stats.rankdata(-_rounded(scores), axis=1).mean(axis=0)


def friedman_test(scores: ArrayLike) -> Friedman:
    r"""Do the methods rank differently at all? Friedman's test (1937), and Iman and Davenport's.

    With `N` cells and `k` methods

    .. math:: \chi_F^2 = \frac{12 N}{k (k + 1)} \Big(\sum_j R_j^2 - \frac{k (k + 1)^2}{4}\Big),
              \quad F_F = \frac{(N - 1) \chi_F^2}{N (k - 1) - \chi_F^2}

    the former divided by scipy's correction for ties, with `k - 1` degrees of freedom; the latter,
    less conservative (Iman & Davenport 1980), with `k - 1` and `(k - 1)(N - 1)`.

    Args:
        scores: `(cells, methods)`, at least two cells and three methods.

    Raises:
        ValueError: if there are fewer.

    Example:
        >>> friedman_test([[0.9, 0.8, 0.7], [0.9, 0.7, 0.8]]).f_statistic
        3.0
    """
    values = _rounded(scores)
    if values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 3:
        raise ValueError(
            f"friedman_test: the scores have shape {values.shape}; expected (cells, methods), at "
            "least two cells and three methods."
        )
    cells, methods = values.shape
    if not np.ptp(values, axis=1).any():
        return Friedman(0.0, 1.0, 0.0, 1.0)
    chi, p = stats.friedmanchisquare(*values.T)
    rest = cells * (methods - 1) - chi
    if rest <= 10**-DECIMALS:  # all cells rank the methods alike
        return Friedman(float(chi), float(p), None, 0.0)
    f = (cells - 1) * chi / rest
    f_p = stats.f.sf(f, methods - 1, (methods - 1) * (cells - 1))
    return Friedman(float(chi), float(p), float(f), float(f_p))


def critical_difference(methods: int, cells: int, level: float = SIGNIFICANT) -> float:
    r"""From which difference on average ranks differ significantly: Nemenyi's test (1963).

    .. math:: CD = q_\alpha \sqrt{k (k + 1) / (6 N)}

    with the quantile of the studentized range of `k` methods, infinite degrees of freedom, over
    the square root of two.

    Example:
        >>> round(critical_difference(methods=4, cells=14), 2)  # Demšar 2006, section 3.2.4
        1.25
    """
    quantile = stats.studentized_range.ppf(1 - level, methods, np.inf) / math.sqrt(2)
    return float(quantile * math.sqrt(methods * (methods + 1) / (6 * cells)))


def groups_not_apart(ranks: Sequence[float], difference: float) -> list[list[int]]:
    """The bars of a critical-difference diagram: largest groups whose ranks lie within it.

    Args:
        ranks: average rank of each method.
        difference: the critical difference.

    Returns:
        Groups of two methods at least, as positions in `ranks`, the best first.

    Example:
        >>> groups_not_apart([3.143, 2.000, 2.893, 1.964], 1.0)
        [[3, 1, 2], [2, 0]]
    """
    order = sorted(range(len(ranks)), key=lambda i: ranks[i])
    # From each method on, up to where the next is too far away; a group in the one before is none.
    ends = [sum(ranks[j] - ranks[i] < difference for j in order[n:]) for n, i in enumerate(order)]
    starts = [n for n in range(len(order)) if n == 0 or n + ends[n] > n - 1 + ends[n - 1]]
    return [order[n : n + ends[n]] for n in starts if ends[n] > 1]


def _rounded(values: ArrayLike) -> NDArray[np.float64]:
    return np.round(np.asarray(values, dtype=float), DECIMALS)
