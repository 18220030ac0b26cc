"""Statistics over cells, against scipy, published examples and identities."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ptu_seq.evaluation import paired_seed_test
from ptu_seq.significance import (
    average_ranks,
    critical_difference,
    friedman_test,
    groups_not_apart,
    holm,
    paired_effect_size,
    rank_biserial,
    signed_rank_test,
    win_tie_loss,
)

# Demšar 2006, table 6: four classifiers on 14 data sets. In the 13th row the last two scores are
# equal as printed, but ranked 2 and 3, so the last is made a little smaller.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.975, 0.9749],
        [0.957, 0.978, 0.946, 0.970],
    ]
)
SOME = [0.1, -0.2, 0.3, 0.4, 0.5, -0.05, 0.7, 0.8]


class TestDemsarsExample:
    def test_average_ranks(self):
        assert average_ranks(DEMSAR).round(3).tolist() == [3.143, 2.0, 2.893, 1.964]

    def test_friedman(self):
        result = friedman_test(DEMSAR)
        # The paper does not correct for ties; scipy divides by this.
        ties = sum(
            (count**3 - count)
            for row in DEMSAR
            for count in np.unique(row, return_counts=True)[1].tolist()
        )
        published = result.statistic * (1 - ties / (14 * 4 * (4**2 - 1)))
        assert published == pytest.approx(9.28, abs=0.005)
        assert 13 * published / (14 * 3 - published) == pytest.approx(3.69, abs=0.005)

    def test_critical_difference(self):
        assert critical_difference(4, 14) == pytest.approx(2.569 * (4 * 5 / (6 * 14)) ** 0.5, 1e-3)
        assert critical_difference(4, 14, level=0.10) == pytest.approx(1.12, abs=0.005)

    def test_all_are_joined(self):  # 3.143 - 1.964 < 1.25
        groups = groups_not_apart(average_ranks(DEMSAR).tolist(), critical_difference(4, 14))
        assert groups == [[3, 1, 2, 0]]

    def test_wins(self):  # C4.5+m against C4.5
        assert win_tie_loss(DEMSAR[:, 1] - DEMSAR[:, 0]) == (10, 2, 2)


def test_friedman_matches_scipy_and_its_f_follows_from_it():
    scores = np.random.default_rng(0).normal(size=(9, 5))
    result = friedman_test(scores)
    expected = stats.friedmanchisquare(*scores.T)
    assert (result.statistic, result.p_value) == pytest.approx(
        (expected.statistic, expected.pvalue)
    )
    # The same F is that of a two-way analysis of variance of the ranks.
    ranks = stats.rankdata(-scores, axis=1)
    between = 9 * np.sum((ranks.mean(axis=0) - 3) ** 2)
    within = np.sum((ranks - 3) ** 2) - between
    assert result.f_statistic == pytest.approx((between / 4) / (within / 32))
    assert result.f_p_value == pytest.approx(stats.f.sf(result.f_statistic, 4, 32))


def test_friedman_at_both_ends():
    alike = friedman_test([[3, 2, 1]] * 6)
    assert (alike.statistic, alike.f_statistic, alike.f_p_value) == (pytest.approx(12), None, 0.0)
    assert friedman_test([[1, 1, 1]] * 6) == (0.0, 1.0, 0.0, 1.0)


@pytest.mark.parametrize("scores", [[[1, 2]] * 6, [[1, 2, 3]], [1, 2, 3]])
def test_friedman_needs_cells_and_methods(scores):
    with pytest.raises(ValueError, match="at least two cells and three methods"):
        friedman_test(scores)


@pytest.mark.parametrize(
    "differences",
    [
        SOME,
        [*SOME, 0.0, 0.0],  # zeros
        [0.1, -0.1, 0.2, 0.2, 0.3, -0.2, 0.1],  # ties
        np.random.default_rng(0).normal(0.2, 1, 20).round(1),  # more than go through all signs
    ],
)
def test_signed_rank_test_matches_scipy_without_zeros(differences):
    values = np.array(differences)
    expected = stats.wilcoxon(values[values != 0], zero_method="wilcox")
    assert signed_rank_test(differences) == pytest.approx(expected.pvalue)
    negative, positive = (
        sum(stats.rankdata(abs(v))[sign * v > 0]) for v in [values[values != 0]] for sign in (-1, 1)
    )
    assert rank_biserial(differences) == pytest.approx(
        (positive - negative) / (positive + negative)
    )


@pytest.mark.parametrize(
    ("differences", "p", "effect"),
    [
        ([0.1] * 5, None, 1.0),  # too few cells for any outcome to be significant
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 2 / 2**6, 1.0),
        ([-0.1, -0.2, -0.3, -0.4, -0.5, -0.6, 0.0], 2 / 2**6, -1.0),
        ([0.0] * 7, 1.0, 0.0),
        ([1e-15, -1e-16] * 5, 1.0, 0.0),  # float noise is no win
    ],
)
def test_signed_ranks_by_hand(differences, p, effect):
    assert signed_rank_test(differences) == (p if p is None else pytest.approx(p))
    assert rank_biserial(differences) == effect
    expected = np.sign(np.round(differences, 12))
    counts = tuple(int(np.sum(expected == sign)) for sign in (1, 0, -1))
    assert win_tie_loss(differences) == counts


def test_nothing_depends_on_the_order_of_cells():
    order = np.random.default_rng(0).permutation(14)
    assert friedman_test(DEMSAR[order]) == pytest.approx(friedman_test(DEMSAR))
    assert average_ranks(DEMSAR[order]) == pytest.approx(average_ranks(DEMSAR))
    differences = DEMSAR[:, 3] - DEMSAR[:, 0]
    assert signed_rank_test(differences[order]) == signed_rank_test(differences)
    assert signed_rank_test(-differences) == signed_rank_test(differences)
    assert rank_biserial(-differences) == -rank_biserial(differences)


def test_methods_in_another_order_have_the_same_ranks():
    assert average_ranks(DEMSAR[:, [2, 0, 3, 1]]).tolist() == pytest.approx(
        average_ranks(DEMSAR)[[2, 0, 3, 1]]
    )


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # R: p.adjust(p, "holm")
        ([0.5, 0.6], [1.0, 1.0]),
        ([None, 0.02, None], [None, 0.02, None]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([], []),
    ],
)
def test_holm(p_values, corrected):
    assert holm(p_values) == [p if p is None else pytest.approx(p) for p in corrected]


def test_effect_size_over_seeds():
    a, b = [0.71, 0.75, 0.72, 0.80, 0.77], [0.70, 0.71, 0.73, 0.74, 0.75]
    difference = np.subtract(a, b)
    d = difference.mean() / difference.std(ddof=1)
    # J(4) = Gamma(2) / (sqrt(2) Gamma(1.5)), in Hedges 1981 0.7979.
    assert paired_effect_size(a, b) == pytest.approx(0.7979 * d, rel=1e-4)
    assert paired_effect_size(b, a) == pytest.approx(-0.7979 * d, rel=1e-4)


@pytest.mark.parametrize(
    ("a", "b", "effect"),
    [([0.7, 0.8], [0.6, 0.6], None), ([0.7] * 4, [0.6] * 4, None), ([0.7] * 4, [0.7] * 4, 0.0)],
)
def test_effect_sizes_that_are_not_defined(a, b, effect):
    assert paired_effect_size(a, b) == effect


def test_effect_size_of_unequal_numbers_of_seeds():
    with pytest.raises(ValueError, match="one of each for every seed"):
        paired_effect_size([0.1], [0.1, 0.2])


@pytest.mark.parametrize(
    ("ranks", "groups"),
    [
        ([1.0, 2.0, 3.0], []),  # exactly the critical difference apart is apart
        ([1.0, 1.5, 2.2, 4.0], [[0, 1], [1, 2]]),
        ([4.0, 1.0, 1.2, 1.4], [[1, 2, 3]]),
        ([1.0, 1.0, 1.0], [[0, 1, 2]]),
    ],
)
def test_groups_are_as_large_as_they_can_be(ranks, groups):
    assert groups_not_apart(ranks, 1.0) == groups


def test_cells_that_share_noise_fool_the_signed_ranks_but_not_both_tests():
    """A method against itself: 12 cells, of which the three sizes of a target share half."""
    draw = np.random.default_rng(0)
    by_cells = by_both = 0
    for _ in range(300):
        shared, own = draw.normal(size=(5, 4, 1)), draw.normal(size=(5, 4, 3))
        differences = ((shared + own) / 2**0.5).reshape(5, 12)  # seeds by cells
        over_cells = signed_rank_test(differences.mean(axis=0))
        over_seeds = paired_seed_test(list(differences.mean(axis=1)), [0.0] * 5).t_test
        assert over_cells is not None and over_seeds is not None
        by_cells += over_cells < 0.05
        by_both += max(over_cells, over_seeds) < 0.05
    assert by_cells > 30  # 15 of 300 are what the level allows; 46 are found
    assert by_both <= 15
