"""Statistics over all cells of studies, and what is said of them."""

from __future__ import annotations

import logging
import re
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ptu_seq.report import (
    format_markdown,
    format_table,
    read_results,
    write_figures,
    write_report,
    write_summary,
)
from ptu_seq.report.all_cells import joint_p_value, overall
from ptu_seq.report.summary import build_summary
from ptu_seq.significance import holm, signed_rank_test


def study(*rows: dict[str, float], metric: str = "accuracy") -> dict[str, Any]:
    """What is read of a summary: a row a cell, with the mean of each method."""
    cells = [
        {
            **{"source": "s", "target": f"t{i}", "size": 100, "method": method},
            **{"seeds": [0], "scores": [mean], "mean": mean},
        }
        for i, row in enumerate(rows)
        for method, mean in row.items()
    ]
    return {"metric": metric, "cells": cells, "comparisons": []}


def against(gains: list[float], **study_fields: Any) -> dict[str, Any]:
    """ptu against fine_tune with these gains, a cell each."""
    return study(*({"fine_tune": 0.5, "ptu": 0.5 + gain} for gain in gains), **study_fields)


def only(summary: dict[str, Any]) -> dict[str, Any]:
    result = overall([summary])
    assert result is not None
    (comparison,) = result["comparisons"]
    return comparison


@pytest.mark.parametrize(
    ("gains", "sentence"),
    [
        (
            [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.0, -0.005],
            "ptu beats fine_tune in 7 of 9 cells (1 tie, 1 loss; p = 0.016, Wilcoxon signed-rank).",
        ),
        (
            [-0.01, -0.02, -0.03, -0.04, -0.05, -0.06, 0.0],
            "ptu is beaten by fine_tune in 6 of 7 cells (1 tie, 0 wins; p = 0.031, "
            "Wilcoxon signed-rank).",
        ),
        (
            [0.01, 0.02, 0.03, -0.04, 0.05, -0.06],
            "ptu is ahead of fine_tune in 4 of 6 cells (0 ties, 2 losses), which is not "
            "significant (p = 1.000, Wilcoxon signed-rank).",
        ),
        (
            [0.01, -0.02, -0.03, -0.04, 0.05, -0.06],
            "ptu is behind fine_tune in 4 of 6 cells (0 ties, 2 wins), which is not significant "
            "(p = 0.438, Wilcoxon signed-rank).",
        ),
        (
            [0.0] * 6,
            "ptu is level with fine_tune: ahead in 0 of 6 cells (6 ties, 0 losses; p = 1.000, "
            "Wilcoxon signed-rank).",
        ),
        (
            [0.5 + i / 100 for i in range(16)] + [-(1 + i) / 100 for i in range(17)],
            "ptu is ahead of fine_tune in 16 of 33 cells (0 ties, 17 losses); its gains are larger "
            "than losses (p = 0.022, Wilcoxon signed-rank).",
        ),
        ([0.1, 0.2, 0.3, 0.4, 0.5], None),
    ],
)
def test_sentence_says_no_more_than_the_numbers(gains, sentence):
    assert only(against(gains))["sentence"] == sentence


@pytest.mark.parametrize("summaries", [[], [study({"fine_tune": 0.1, "ptu": 0.2})]])
def test_one_cell_says_nothing_overall(summaries):
    assert overall(summaries) is None


def test_two_cells_are_counted_but_not_tested():
    comparison = only(against([0.1, -0.1]))
    assert (comparison["wins"], comparison["losses"], comparison["p_value"]) == (1, 1, None)


def test_cells_without_both_methods_are_left_out_and_counted():
    summary = study(*[{"fine_tune": 0.5, "ptu": 0.6}] * 6, {"ptu": 0.1}, {"fine_tune": 0.9})
    comparison = only(summary)
    assert (comparison["cells"], comparison["left_out"], comparison["wins"]) == (6, 2, 6)
    assert (
        "p = 0.031, Wilcoxon signed-rank; 2 cells without both left out" in comparison["sentence"]
    )


def test_one_method_has_nothing_to_be_compared_with():
    assert overall([study({"ptu": 0.5}, {"ptu": 0.6})]) == {
        "cells": 2,
        "comparisons": [],
        "ranking": None,
    }


def test_p_values_are_corrected_for_the_number_of_comparisons():
    gains = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06]
    rows = [{"frozen": 0.5, "fine_tune": 0.5 + g / 2, "ptu": 0.5 + g} for g in gains]
    result = overall([study(*rows)])
    assert result is not None
    assert [c["p_value_holm"] for c in result["comparisons"]] == pytest.approx([0.0625] * 2)
    assert all("which is not significant" in c["sentence"] for c in result["comparisons"])
    assert all("Holm over 2 comparisons" in c["sentence"] for c in result["comparisons"])


def test_the_order_of_cells_and_of_studies_changes_nothing():
    draw = np.random.default_rng(0)
    rows = [dict(zip(("frozen", "l2_sp", "ptu"), draw.random(3), strict=True)) for _ in range(8)]
    first, second = study(*rows[:5]), study(*rows[5:])
    turned = {**first, "cells": first["cells"][::-1]}
    assert overall([second, turned]) == overall([first, second])


def test_studies_with_equal_names_stay_apart():
    one, other = against([0.1] * 3), against([-0.1] * 3)
    result = overall([one, other])
    assert result is not None
    assert (result["comparisons"][0]["wins"], result["comparisons"][0]["losses"]) == (3, 3)


def test_metrics_count_alike_whatever_their_scale():
    gains = [0.01, -0.02, 0.03, 0.015, 0.005, -0.004]
    points = [100 * g for g in gains]
    shares, bleu = against(gains), against(points, metric="bleu")
    both = overall([shares, bleu])
    twice = overall([shares, shares])
    assert both is not None and twice is not None
    for field in ("wins", "losses", "p_value", "effect_size"):
        assert both["comparisons"][0][field] == pytest.approx(twice["comparisons"][0][field])
    assert both["comparisons"][0]["difference"] is None
    assert only(shares)["p_value"] == pytest.approx(signed_rank_test(gains))


@pytest.mark.parametrize(("luck", "verb"), [(0.0, "beats"), (0.2, "is ahead of")])
def test_what_is_claimed_would_also_hold_for_other_seeds(luck, verb):
    """All cells are won; with luck, because a single seed is."""
    summary = against([0.03 + i / 1000 for i in range(8)])
    for cell in summary["cells"]:
        noise = np.array([0.001, -0.001, 0.0, 0.0]) + np.array([luck, 0, 0, 0]) - luck / 4
        scores = cell["mean"] + (noise if cell["method"] == "ptu" else 0)
        cell.update(seeds=[0, 1, 2, 3], scores=np.broadcast_to(scores, 4).tolist())
    comparison = only(summary)
    assert comparison["p_value"] < 0.01
    assert (comparison["p_value_seeds"] < 0.05) == (verb == "beats")
    assert f"ptu {verb} fine_tune in 8 of 8 cells" in comparison["sentence"]
    assert "t over seeds" in comparison["sentence"]


def test_the_test_over_seeds_is_that_of_the_mean_over_cells():
    draw = np.random.default_rng(0)
    a, b = draw.normal(0.7, 0.1, (2, 6, 5))  # cells, seeds
    rows = [{"fine_tune": y.mean(), "ptu": x.mean()} for x, y in zip(a, b, strict=True)]
    summary = study(*rows)
    for cell, scores in zip(summary["cells"], np.stack([b, a], axis=1).reshape(12, 5), strict=True):
        cell.update(seeds=list(range(5)), scores=scores.tolist())
    summary["cells"][3]["seeds"][4] = 9  # a seed that not all cells share
    expected = stats.ttest_rel(a.mean(axis=0)[:4], b.mean(axis=0)[:4]).pvalue
    assert only(summary)["p_value_seeds"] == pytest.approx(expected)


def test_ranks_leave_out_methods_that_most_cells_lack_and_cells_without_the_others():
    rows = [{"scratch": 0.1, "fine_tune": 0.2, "ptu": 0.3}] * 6
    result = overall([study(*rows, {"fine_tune": 0.2, "ptu": 0.3}, {"zoph": 0.9, "ptu": 0.3})])
    assert result is not None
    ranking = result["ranking"]
    assert ranking["ranks"] == {"scratch": 3.0, "fine_tune": 2.0, "ptu": 1.0}
    assert (ranking["cells"], ranking["left_out"]) == (6, 2)
    assert ranking["friedman"]["statistic"] == pytest.approx(12)
    assert ranking["groups"] == [["ptu", "fine_tune"], ["fine_tune", "scratch"]]


def test_no_methods_are_apart_where_they_do_not_differ_as_a_whole():
    draw = np.random.default_rng(1)
    rows = [dict(zip(("frozen", "l2_sp", "ptu"), draw.random(3), strict=True)) for _ in range(6)]
    result = overall([study(*rows)])
    assert result is not None
    assert result["ranking"]["friedman"]["p_value"] > 0.05
    assert [set(group) for group in result["ranking"]["groups"]] == [{"frozen", "l2_sp", "ptu"}]


@pytest.mark.parametrize(
    ("examples", "seeds", "joint"),
    [(0.01, 0.03, 0.03), (0.04, 0.03, 0.04), (None, 0.03, 0.03), (0.01, None, None)],
)
def test_joint_p_value(examples, seeds, joint):
    assert joint_p_value({"p_value": examples, "p_value_seeds": seeds}) == joint


@pytest.fixture
def six_cells(tmp_path, write_run):
    """ptu ahead of the others in all of six cells; three seeds."""
    for target in ("a", "bb", "ccc"):
        for size in (100, "all"):
            for i, method in enumerate(("frozen", "fine_tune", "ptu")):
                for seed in range(3):
                    write_run(method, seed, target=target, size=size, score=0.5 + i / 8 + seed / 80)
    return tmp_path


def test_summary_holds_both_corrections(six_cells):
    summary = write_summary(six_cells, "r")
    comparisons = summary["comparisons"]
    assert [c["p_value_holm"] for c in comparisons] == holm(list(map(joint_p_value, comparisons)))
    assert all("effect_size" in c for c in comparisons)
    assert [c["wins"] for c in summary["overall"]["comparisons"]] == [6, 6]


def test_all_reports_show_the_statistics(six_cells):
    summary = write_summary(six_cells, "r")
    paths = write_figures(six_cells, summary, read_results(six_cells))
    assert six_cells / "figures/critical_difference.png" in paths
    page = write_report(six_cells).read_text()
    assert "Over all cells" in page and "Critical-difference diagram" in page
    for text in (format_markdown(summary), format_table(summary, 80), page):
        assert "ptu is ahead of fine_tune in 6 of 6 cells" in text  # p = 0.031, twice after Holm
        assert "Average ranks over 6 cells: ptu 1.00, fine_tune 2.00, frozen 3.00" in text


def test_one_cell_shows_nothing_overall(tmp_path, write_run):
    for method in ("frozen", "fine_tune", "ptu"):
        write_run(method)
    summary = write_summary(tmp_path, "r")
    write_figures(tmp_path, summary, read_results(tmp_path))
    assert summary["overall"] is None
    assert "Wilcoxon" not in format_markdown(summary) + format_table(summary, 80)
    assert not (tmp_path / "figures/critical_difference.png").exists()
    assert "Over all cells" not in write_report(tmp_path).read_text()


def runs_of_one_method(draw: np.random.Generator) -> list[dict[str, Any]]:
    """A study whose methods are one and the same: in each cell only chance tells them apart."""
    runs = []
    for cell in range(8):
        level, spread = draw.uniform(0.5, 0.9), draw.uniform(0.005, 0.04)
        for seed in range(5):
            of_the_seed = draw.normal(0, 0.01)  # the subset that all methods learn from
            runs += [
                {
                    **{"run_id": f"{cell}-{method}-{seed}", "metric": "accuracy"},
                    **{"source": "s", "target": f"t{cell}", "size": 100},
                    **{"method": method, "seed": seed},
                    "score": level + of_the_seed + draw.normal(0, spread),
                }
                for method in ("fine_tune", "ptu")
            ]
    return runs


def test_a_method_against_itself_claims_nothing(tmp_path, caplog):
    caplog.set_level(logging.ERROR, "ptu_seq")  # there are no predictions
    draw = np.random.default_rng(0)
    claims, in_cells = 0, 0
    for _ in range(100):
        summary = build_summary(runs_of_one_method(draw), "r", tmp_path)
        claims += bool(re.search("beats|beaten|larger than", format_markdown(summary)))
        in_cells += any(c["p_value_holm"] < 0.05 for c in summary["comparisons"])
    assert claims <= 6
    assert in_cells <= 12  # 5 are expected; without the correction 34 would be


def test_ranks_of_one_method_are_seldom_apart():
    draw = np.random.default_rng(0)
    methods = ("scratch", "frozen", "fine_tune", "ptu")
    apart = 0
    for _ in range(100):
        rows = [dict(zip(methods, draw.random(4), strict=True)) for _ in range(10)]
        result = overall([study(*rows)])
        assert result is not None
        apart += len(result["ranking"]["groups"]) > 1
    assert apart <= 6


def test_the_same_runs_twice_are_level(tmp_path, write_run):
    for target in ("a", "bb", "ccc", "dddd", "eeeee", "ffffff"):
        for method in ("l2_sp", "ptu"):
            for seed in range(3):
                write_run(method, seed, target=target, score=0.6 + seed / 100)
    (comparison,) = write_summary(tmp_path, "r")["overall"]["comparisons"]
    assert (comparison["ties"], comparison["p_value"], comparison["effect_size"]) == (6, 1.0, 0.0)
