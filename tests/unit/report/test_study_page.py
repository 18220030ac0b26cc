"""The report of several experiments."""

from __future__ import annotations

import json
from pathlib import Path

from ptu_seq import cli
from ptu_seq.records import write_json
from ptu_seq.report import write_report, write_summary
from ptu_seq.report.study import write_study_report
from tests.unit.report.test_html import Page

METHODS = ("frozen", "fine_tune", "ptu")


def experiments(folder: Path, write_run) -> dict[str, Path]:
    """Two experiments of three cells, in which ptu has the highest mean of each."""
    for target in ("trec", "sick", "mr"):
        for seed in range(3):
            for score, method in zip((0.5, 0.6, 0.7), METHODS, strict=True):
                write_run(method, seed, target=target, score=score + seed / 100)
    found = {}
    for name in ("first", "<b>second</b>"):
        found[name] = folder / "study" / name.replace("/", "_")
        found[name].mkdir(parents=True)
        for part in ("results.jsonl", "predictions", "gates"):
            (found[name] / part).symlink_to(folder / part)
        write_summary(found[name], "sentence_classification")
        write_report(found[name])
    return found


def test_what_holds_over_all_experiments(tmp_path, write_run):
    found = experiments(tmp_path, write_run)
    summary = write_study_report(tmp_path / "study", "mine", found)
    assert summary is not None and summary["overall"]["ranking"]["cells"] == 6
    assert {one["wins"] for one in summary["overall"]["comparisons"]} == {6}
    page = Page((tmp_path / "study/report.html").read_text(encoding="utf-8"))
    for one in summary["overall"]["comparisons"]:
        assert one["sentence"] in page.text
        assert one["sentence"] in (tmp_path / "study/summary.md").read_text(encoding="utf-8")
    assert "critical-difference" in (page.all("img")[0]["alt"] or "").lower()
    assert {link["href"] for link in page.all("a") if "download" not in link} == {
        "first/report.html",
        "<b>second<_b>/report.html",
    }
    assert "<b>second</b>" in page.text and not page.all("b")


def test_an_experiment_without_a_finished_run_is_left_out(tmp_path, write_run):
    found = experiments(tmp_path, write_run)
    summary = write_study_report(tmp_path / "study", "mine", {**found, "third": tmp_path / "none"})
    assert summary is not None and len(summary["experiments"]) == 2
    assert write_study_report(tmp_path / "other", "mine", {"third": tmp_path / "none"}) is None


def test_report_makes_that_of_a_study_anew(tmp_path, write_run, capsys):
    found = experiments(tmp_path, write_run)
    study = tmp_path / "study"
    first = {"first": found["first"]}
    write_study_report(study, "mine", first)
    (study / "report.html").unlink()
    (found["first"] / "report.html").unlink()
    assert cli.main(["report", str(study)]) == 0
    assert (study / "report.html").exists() and (found["first"] / "report.html").exists()
    assert json.loads((study / "summary.json").read_text())["study"] == "mine"


def test_report_of_a_study_that_has_no_summary_yet(tmp_path, write_run, capsys):
    found = experiments(tmp_path, write_run)
    study = tmp_path / "study"
    names = [{"name": found["first"].name}, {"name": "not begun"}]
    write_json(study / "experiments.json", {"study": "mine", "experiments": names})
    (found["first"] / "summary.json").unlink()
    (found["first"] / "study.json").write_text('{"recipe": "sentence_classification"}')
    assert cli.main(["report", str(study)]) == 0
    summary = json.loads((study / "summary.json").read_text())
    assert (summary["study"], len(summary["experiments"])) == ("mine", 1)


def test_a_study_without_a_finished_run_has_nothing_to_report(tmp_path, capsys):
    content = {"study": "mine", "experiments": [{"name": "first"}]}
    write_json(tmp_path / "experiments.json", content)
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "no run of this study has finished yet" in capsys.readouterr().err


def test_a_figure_of_an_earlier_time_is_not_shown(tmp_path, write_run):
    found = experiments(tmp_path, write_run)
    write_study_report(tmp_path / "study", "mine", found)
    assert (tmp_path / "study/figures/critical_difference.png").exists()
    summary = write_study_report(tmp_path / "study", "mine", {"first": found["first"]})
    assert summary is not None and summary["overall"]["ranking"]["groups"] is None
    assert not (tmp_path / "study/figures/critical_difference.png").exists()
    page = Page((tmp_path / "study/report.html").read_text(encoding="utf-8"))
    assert "critical-difference" not in page.text.lower()


def test_the_answer_of_few_cells_is_that_of_a_named_experiment(tmp_path, write_run):
    for method in METHODS:
        write_run(method)
    folder = tmp_path / "study" / "first"
    folder.mkdir(parents=True)
    for part in ("results.jsonl", "predictions", "gates"):
        (folder / part).symlink_to(tmp_path / part)
    headline = write_summary(folder, "sentence_classification")["headline"]
    write_study_report(tmp_path / "study", "mine", {"first": folder})
    page = Page((tmp_path / "study/report.html").read_text(encoding="utf-8"))
    assert f"first: {headline}" in page.text
