from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ptu_seq.evaluation import (
    accuracy,
    compare,
    macro_f1,
    paired_bootstrap,
    paired_seed_test,
    summarise_scores,
)


def random_predictions(
    labels: np.ndarray, seeds: int, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Predictions of two classes that are right for about `share` of the examples."""
    right = rng.random((seeds, labels.size)) < share
    return np.where(right, labels, 1 - labels)


def mean_correctness(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return (predictions == labels).mean(axis=0)


class TestMetrics:
    def test_accuracy_is_the_share_of_hits(self):
        assert accuracy(["a", "b", "b", "c", "c"], ["a", "b", "c", "c", "a"]) == pytest.approx(0.6)

    def test_macro_f1_by_hand(self):
        # class 0: tp 2, fp 1, fn 1 -> 2/3; class 1: tp 1, fp 1, fn 0 -> 2/3; class 2: tp 0 -> 0
        labels, predictions = [0, 0, 0, 1, 2], [0, 0, 1, 1, 0]
        assert macro_f1(labels, predictions) == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)

    def test_macro_f1_counts_a_class_that_is_only_predicted(self):
        assert macro_f1([0, 0], [0, 1]) == pytest.approx((2 / 3 + 0) / 2)

    @pytest.mark.parametrize("metric", [accuracy, macro_f1])
    @pytest.mark.parametrize("bad", [([], []), ([0, 1], [0]), ([[0]], [[0]])])
    def test_wrong_shapes_are_errors(self, metric, bad):
        with pytest.raises(ValueError, match="n_examples"):
            metric(*bad)


class TestSummariseScores:
    def test_by_hand(self):
        # mean 0.8, deviations -0.1, 0, 0.1: std 0.1; t(0.975, 2) = 4.302653
        score = summarise_scores([0.7, 0.8, 0.9])
        margin = 4.302653 * 0.1 / np.sqrt(3)
        assert score.mean == pytest.approx(0.8)
        assert score.std == pytest.approx(0.1)
        assert score.interval == pytest.approx((0.8 - margin, 0.8 + margin), abs=1e-6)

    def test_interval_is_that_of_the_one_sample_t_test(self):
        scores = [0.71, 0.735, 0.702, 0.76, 0.749]
        expected = stats.ttest_1samp(scores, 0).confidence_interval(0.9)
        assert summarise_scores(scores, 0.9).interval == pytest.approx(tuple(expected))

    def test_one_seed_has_no_spread(self):
        assert summarise_scores([0.5]) == (0.5, None, None)

    def test_equal_scores(self):
        score = summarise_scores([0.5, 0.5])
        assert (score.std, score.interval) == (0.0, (0.5, 0.5))

    def test_no_score_is_an_error(self):
        with pytest.raises(ValueError, match="no score"):
            summarise_scores([])


class TestPairedBootstrap:
    def test_difference_is_the_mean_of_the_seeds_differences(self):
        labels = [0, 1, 1, 0]
        a = [[0, 1, 1, 1], [0, 1, 1, 0]]  # accuracies 0.75 and 1
        b = [[1, 1, 0, 1], [0, 0, 1, 0]]  # accuracies 0.25 and 0.75
        assert paired_bootstrap(labels, a, b).difference == pytest.approx(0.375)

    def test_matches_scipy(self):
        rng = np.random.default_rng(3)
        labels = rng.integers(0, 2, 150)
        a = random_predictions(labels, 3, 0.74, rng)
        b = random_predictions(labels, 3, 0.70, rng)
        ours = paired_bootstrap(labels, a, b, resamples=40_000)
        reference = stats.bootstrap(
            (mean_correctness(labels, a), mean_correctness(labels, b)),
            lambda x, y, axis: x.mean(axis) - y.mean(axis),
            paired=True,
            vectorized=True,
            n_resamples=40_000,
            method="percentile",
            rng=np.random.default_rng(0),
        )
        draws = reference.bootstrap_distribution
        p_value = 2 * min(np.mean(draws <= 1e-12), np.mean(draws >= -1e-12))
        assert ours.interval == pytest.approx(tuple(reference.confidence_interval), abs=0.004)
        assert 0.02 < p_value < 0.98, "the example should be one that is not clear-cut"
        assert ours.p_value == pytest.approx(p_value, abs=0.02)

    @pytest.mark.parametrize("share", [0.70, 0.76, 0.82])
    def test_agrees_with_the_permutation_test(self, share):
        rng = np.random.default_rng(1)
        labels = rng.integers(0, 2, 300)
        a = random_predictions(labels, 1, share, rng)
        b = random_predictions(labels, 1, 0.70, rng)
        reference = stats.permutation_test(
            (mean_correctness(labels, a), mean_correctness(labels, b)),
            lambda x, y, axis: x.mean(axis) - y.mean(axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=10_000,
            rng=np.random.default_rng(0),
        )
        # Two different tests: near, not equal.
        assert paired_bootstrap(labels, a, b).p_value == pytest.approx(reference.pvalue, abs=0.06)

    def test_is_calibrated_where_methods_are_equally_good(self):
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 2, 200)
        p_values = [
            paired_bootstrap(
                labels,
                random_predictions(labels, 2, 0.7, rng),
                random_predictions(labels, 2, 0.7, rng),
                resamples=500,
            ).p_value
            for _ in range(400)
        ]
        assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.09

    def test_copies_of_a_seed_add_no_evidence(self):
        rng = np.random.default_rng(2)
        labels = rng.integers(0, 2, 300)
        a, b = random_predictions(labels, 1, 0.75, rng), random_predictions(labels, 1, 0.70, rng)
        once = paired_bootstrap(labels, a, b)
        copied = paired_bootstrap(labels, np.repeat(a, 5, axis=0), np.repeat(b, 5, axis=0))
        assert copied.difference == pytest.approx(once.difference)
        assert copied.p_value == once.p_value
        assert copied.interval == pytest.approx(once.interval)

    def test_exchanging_the_methods_mirrors_the_result(self):
        rng = np.random.default_rng(4)
        labels = rng.integers(0, 2, 500)
        a = random_predictions(labels, 3, 0.75, rng)
        b = random_predictions(labels, 3, 0.73, rng)
        one, other = paired_bootstrap(labels, a, b), paired_bootstrap(labels, b, a)
        assert one.difference == -other.difference
        assert one.p_value == pytest.approx(other.p_value, abs=0.03)
        assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]), abs=0.002)

    def test_p_below_005_exactly_where_the_interval_leaves_out_zero(self):
        rng = np.random.default_rng(5)
        labels = rng.integers(0, 2, 400)
        seen = set()
        for share in np.linspace(0.70, 0.80, 15):
            a = random_predictions(labels, 2, share, rng)
            b = random_predictions(labels, 2, 0.70, rng)
            result = paired_bootstrap(labels, a, b)
            if not 0.045 < result.p_value < 0.055:  # a tie at the boundary may fall either way
                excludes_zero = result.interval[0] > 0 or result.interval[1] < 0
                assert (result.p_value < 0.05) == excludes_zero
                seen.add(excludes_zero)
        assert seen == {True, False}

    def test_equal_predictions_give_one(self):
        labels = np.arange(50) % 3
        result = paired_bootstrap(labels, labels * 0, labels * 0)
        assert result == (0.0, 1.0, (0.0, 0.0))

    def test_same_seed_same_numbers(self):
        rng = np.random.default_rng(6)
        labels = rng.integers(0, 2, 100)
        a, b = random_predictions(labels, 2, 0.8, rng), random_predictions(labels, 2, 0.7, rng)
        assert paired_bootstrap(labels, a, b) == paired_bootstrap(labels, a, b)
        assert (
            paired_bootstrap(labels, a, b).interval
            != paired_bootstrap(labels, a, b, seed=1, resamples=99).interval
        )

    @pytest.mark.parametrize(
        ("labels", "a", "b"),
        [
            ([0, 1], [0, 1, 1], [0, 1, 1]),
            ([0, 1], [[0, 1]], [[0, 1], [0, 1]]),
            ([], [], []),
        ],
    )
    def test_shapes_that_do_not_agree_are_errors(self, labels, a, b):
        with pytest.raises(ValueError, match="n_seeds, n_examples"):
            paired_bootstrap(labels, a, b)


class TestPairedSeedTest:
    def test_matches_scipy(self):
        a = [0.71, 0.74, 0.725, 0.76, 0.733, 0.751, 0.742]
        b = [0.70, 0.735, 0.73, 0.741, 0.73, 0.744, 0.731]
        result = paired_seed_test(a, b)
        assert result.t_test == pytest.approx(stats.ttest_rel(a, b).pvalue)
        differences = np.round(np.subtract(a, b), 9)  # as exact as the scores are written
        assert result.wilcoxon == pytest.approx(stats.wilcoxon(differences).pvalue)

    def test_by_hand(self):
        # Differences 0, 1, 2: mean 1, standard error 1 / sqrt(3), so t = sqrt(3) with 2 degrees
        # of freedom, whose two-sided p is 1 - t / sqrt(2 + t**2) = 1 - sqrt(3 / 5).
        assert paired_seed_test([1, 2, 3], [1, 1, 1]).t_test == pytest.approx(1 - np.sqrt(3 / 5))

    def test_wilcoxon_waits_for_six_seeds(self):
        a = [0.7, 0.72, 0.75, 0.71, 0.74, 0.76]
        b = [0.69, 0.7, 0.72, 0.67, 0.69, 0.70]
        assert paired_seed_test(a[:5], b[:5]).wilcoxon is None
        assert paired_seed_test(a, b).wilcoxon == pytest.approx(2 / 2**6)

    @pytest.mark.parametrize(("seeds", "expected"), [(2, (1.0, None)), (6, (1.0, 1.0))])
    def test_no_difference_at_all(self, seeds, expected):
        assert paired_seed_test([0.7] * seeds, [0.7] * seeds) == expected

    @pytest.mark.parametrize("seeds", [0, 1])
    def test_fewer_than_two_seeds(self, seeds):
        assert paired_seed_test([0.7] * seeds, [0.6] * seeds) == (None, None)

    def test_a_constant_difference_has_no_spread_to_be_tested_against(self):
        # In floating point these differences are not quite equal, and a bare t test says 1e-32.
        assert paired_seed_test([0.7, 0.8, 0.9], [0.6, 0.7, 0.8]).t_test is None

    def test_unequal_numbers_of_scores_are_an_error(self):
        with pytest.raises(ValueError, match="3 scores and 2"):
            paired_seed_test([0.1, 0.2, 0.3], [0.1, 0.2])


class TestCompare:
    def test_gathers_both_tests(self):
        rng = np.random.default_rng(7)
        labels = rng.integers(0, 2, 200)
        a, b = random_predictions(labels, 3, 0.8, rng), random_predictions(labels, 3, 0.7, rng)
        scores_a, scores_b = ([accuracy(labels, p) for p in each] for each in (a, b))
        result = compare(scores_a, scores_b, labels, a, b)
        bootstrap = paired_bootstrap(labels, a, b)
        assert result.difference == pytest.approx(bootstrap.difference)
        assert (result.p_value, result.interval) == (bootstrap.p_value, bootstrap.interval)
        assert result.p_value_seeds == paired_seed_test(scores_a, scores_b).t_test
        assert result.seeds == 3

    def test_without_predictions_only_seeds_are_tested(self):
        result = compare([0.7, 0.75, 0.7], [0.6, 0.7, 0.7])
        assert result.p_value is None and result.interval is None
        assert result.p_value_seeds is not None
        assert result.wins == 2
