"""Summary, tables, figures and page of runs that translate, scored from 0 to 100 by sacrebleu."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from matplotlib.figure import Figure

from ptu_seq.report import (
    format_markdown,
    format_table,
    plot_scores,
    read_results,
    write_figures,
    write_report,
    write_summary,
)
from ptu_seq.report.metrics import get_metric
from ptu_seq.report.summary import headline
from ptu_seq.translation.evaluation import compare_runs

RECIPE = "low_resource_mt"


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_comparisons_are_sacrebleus_on_all_seeds_together(tmp_path, write_translation, metric):
    runs = {
        m: [write_translation(m, seed, metric=metric) for seed in range(2)] for m in ("zoph", "ptu")
    }
    (comparison,) = write_summary(tmp_path, RECIPE)["comparisons"]
    stored = {
        m: [json.loads((tmp_path / f"predictions/{r['run_id']}.json").read_text()) for r in rs]
        for m, rs in runs.items()
    }
    expected = compare_runs(
        stored["ptu"][0]["labels"],
        [run["predictions"] for run in stored["ptu"]],
        [run["predictions"] for run in stored["zoph"]],
        metric=metric,
    )
    assert (comparison["method"], comparison["against"]) == ("ptu", "zoph")
    assert comparison["difference"] == pytest.approx(expected.difference)
    assert comparison["p_value"] == expected.p_value
    assert tuple(comparison["interval"]) == expected.interval
    assert comparison["signature"] == expected.signature
    assert comparison["wins"] == 2 and comparison["p_value_seeds"] is not None


def test_predictions_that_do_not_pair_leave_the_seed_test(tmp_path, write_translation, caplog):
    for seed in range(2):
        write_translation("ptu", seed)
        write_translation("zoph", seed, predictions=seed != 1)
        write_translation("fine_tune", seed, references=["It's a small house."] * 30)
    comparisons = write_summary(tmp_path, RECIPE)["comparisons"]
    assert [c["against"] for c in comparisons] == ["fine_tune", "zoph"]
    assert all(c["p_value"] is None and "signature" not in c for c in comparisons)
    assert all(c["p_value_seeds"] is not None for c in comparisons)
    assert "test sets differ" in caplog.text and "predictions are missing" in caplog.text


def test_cells_hold_the_means_of_all_scores_and_their_signatures(tmp_path, write_translation):
    runs = [write_translation("ptu", seed) for seed in range(2)]
    write_translation("zoph", scores=None, signatures=None)
    zoph, ptu = write_summary(tmp_path, RECIPE)["cells"]
    assert "scores_mean" not in zoph and "signatures" not in zoph
    assert ptu["scores"] == [run["score"] for run in runs]
    assert ptu["scores_mean"] == {
        name: pytest.approx(sum(run["scores"][name] for run in runs) / 2)
        for name in ("bleu", "chrf", "ter")
    }
    assert ptu["scores_mean"]["bleu"] == ptu["mean"]
    assert ptu["signatures"] == runs[0]["signatures"]


def test_scores_taken_in_different_ways_are_told(tmp_path, write_translation, caplog):
    write_translation("ptu", 0)
    write_translation("ptu", 1, signatures={"bleu": "tok:none"})
    write_summary(tmp_path, RECIPE)
    assert "fr-en to tl-en, size 2000, ptu: scores with different signatures" in caplog.text


def test_markdown_shows_scores_as_they_are(translated):
    summary = write_summary(translated, RECIPE)
    text = format_markdown(summary)
    cell = summary["cells"][-1]
    assert "Test BLEU after transfer from fr-en: mean ± standard deviation over 2 seeds." in text
    assert "| child | size | scratch | frozen | fine_tune | zoph | ptu |" in text
    assert f"| **{cell['mean']:.1f} ± {cell['std']:.1f}** |" in text
    difference = summary["comparisons"][-1]["difference"]
    assert f"| tl-en | 2000 | ptu – zoph | {difference:+.2f} |" in text
    assert "Differences in mean score, in BLEU points." in text
    assert "sacrebleu's paired bootstrap over test sentences" in text
    assert f"({summary['comparisons'][0]['signature']})" in text
    assert "percent" not in text


def test_bleu_chrf_and_ter_stand_beside_each_other(translated):
    summary = write_summary(translated, RECIPE)
    text = format_markdown(summary)
    cell = summary["cells"][0]
    scores = " | ".join(f"{cell['scores_mean'][name]:.1f}" for name in ("bleu", "chrf", "ter"))
    assert "| child | size | method | BLEU | chrF | TER |" in text
    assert f"| tl-en | 2000 | scratch | {scores} |" in text
    assert "Means over seeds. TER: less is better." in text
    for name, title in (("bleu", "BLEU"), ("chrf", "chrF"), ("ter", "TER")):
        assert text.count(f"\n`{title}|{cell['signatures'][name]}`\n") == 1


def test_tables_without_further_scores_have_no_such_part(tmp_path, write_run):
    write_run("ptu")
    summary = write_summary(tmp_path, "r")
    assert "scores_mean" not in summary["cells"][0]
    assert format_markdown(summary).count("| target |") == 1


def test_terminal(translated):
    text = format_table(write_summary(translated, RECIPE), 80)
    assert text.startswith("Test BLEU after transfer from fr-en")
    assert text.count("child") == 2
    assert max(map(len, text.splitlines()[:-1])) <= 80


def test_page(translated):
    summary = write_summary(translated, RECIPE)
    write_figures(translated, summary, read_results(translated))
    page = write_report(translated).read_text(encoding="utf-8")
    cell = summary["cells"][-1]
    assert f'<td class="best">{cell["mean"]:.1f} ± {cell["std"]:.1f}</td>' in page
    assert f"<td>{cell['scores_mean']['ter']:.1f}</td>" in page
    assert f"TER|{cell['signatures']['ter']}" in page
    assert summary["comparisons"][0]["signature"] in page
    assert "<td>21.4</td>" in page and "validation score (0 to 100)" in page
    assert "number of training sentences, a panel for each child" in page
    assert "0 keeps the parent’s activation" in page
    body = page.split("</style>")[1].split("<script>")[0]
    assert "percent" not in page and ">target<" not in page and "{" not in body


def test_axes_have_the_metrics_names(translated, monkeypatch):
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    summary = write_summary(translated, RECIPE)
    plot_scores(summary, translated / "s.png")
    (axes,) = drawn[0].axes
    assert axes.get_ylabel() == "test BLEU"
    assert axes.get_xlabel() == "training sentences of the child"
    low, high = axes.get_ylim()
    assert all(low < cell["mean"] < high for cell in summary["cells"])


@pytest.mark.parametrize(
    ("means", "sentence"),
    [
        (
            {"frozen": 30.0, "fine_tune": 20.5, "zoph": 21.0, "ptu": 21.75},
            "ptu has the highest mean in 0 of 1 cell; against the better of fine_tune and zoph it "
            "gains 0.75 BLEU points on average (worst +0.75).",
        ),
        ({"fine_tune": 20.0, "ptu": 21.0}, "ptu has the highest mean in 1 of 1 cell."),
    ],
)
def test_headline_is_against_the_better_of_the_rivals(means, sentence):
    cells = [
        {"source": "s", "target": "t", "size": 1, "method": method, "mean": mean}
        for method, mean in means.items()
    ]
    assert headline(cells, get_metric("bleu")) == sentence


def test_classification_does_not_need_sacrebleu(full_run):
    code = (
        "import sys; from ptu_seq.report import *;"
        f"s = write_summary({str(full_run)!r}, 'r'); write_report({str(full_run)!r});"
        "assert s['comparisons'][0]['p_value'] is not None; assert 'sacrebleu' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
