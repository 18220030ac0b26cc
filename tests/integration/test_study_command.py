"""`ptu-seq study` from end to end: two experiments on made-up words."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ptu_seq import cli
from ptu_seq.records import read_json, read_lines
from ptu_seq.workplace import alone_in
from tests.integration.books_and_films import write_data

NAMES = ["sentence_classification-books-films-lstm", "sentence_classification-books-films-gru"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a study that has been run."""
    folder = tmp_path_factory.mktemp("study")
    data = write_data(folder)
    content = {
        "output_dir": str(folder / "out"),
        "defaults": {"seeds": 2, "sizes": [40], "methods": ["scratch", "ptu"]},
        "tuning": {"trials": 4},
        "experiments": [
            {
                "recipe": "sentence_classification",
                "source_dataset": str(data / "books"),
                "target_datasets": [str(data / "films")],
                "rnn_type": ["lstm", "gru"],
                "source_max_steps": 10,
                "min_steps": 5,
                "max_steps": 5,
                "evaluations": 1,
                "embedding_size": 8,
                "hidden_size": 8,
                "vocab_size": 120,
            }
        ],
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    assert cli.main(["study", str(folder / "study.yaml"), "--workers=1"]) == 0
    return folder / "study.yaml"


@pytest.fixture
def again(study: Path, tmp_path: Path) -> Path:
    """The same file with a copy of its folder."""
    content = yaml.safe_load(study.read_text())
    shutil.copytree(content["output_dir"], tmp_path / "out")
    content["output_dir"] = str(tmp_path / "out")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "study.yaml"


def run(path: Path) -> int:
    return cli.main(["study", str(path), "--workers=1"])


def scores(folder: Path) -> dict[str, Any]:
    cells = read_json(folder / "summary.json")["cells"]
    return {f"{c['experiment']} {c['method']}": (c["scores"], c["setting"]) for c in cells}


def test_every_method_is_tuned_alike_and_all_cells_are_in_one_summary(study: Path):
    out = study.parent / "out"
    for name in NAMES:
        trials = [line["method"] for line in read_lines(out / name / "tuning.jsonl")]
        assert sorted(trials) == ["ptu"] * 4 + ["scratch"] * 4
        assert (out / name / "optuna.db").exists()
        assert (out / name / "report.html").exists()
        for result in read_lines(out / name / "results.jsonl"):
            tried = [
                (trial["setting"], trial["validation_score"])
                for trial in read_lines(out / name / "tuning.jsonl")
                if trial["method"] == result["method"]
            ]
            best = max(score for _, score in tried)
            assert (result["setting"], best) in tried
    summary = read_json(out / "summary.json")
    assert [one["name"] for one in summary["experiments"]] == NAMES
    assert [(c["experiment"], c["method"]) for c in summary["cells"]] == [
        (name, method) for name in NAMES for method in ("scratch", "ptu")
    ]
    assert {c["experiment"] for c in summary["comparisons"]} == set(NAMES)
    text = (out / "summary.md").read_text("utf-8")
    assert text.count("## sentence_classification\n") == 1
    assert all(f"### {name}\n" in text for name in NAMES)
    (against,) = summary["overall"]["comparisons"]
    assert (against["method"], against["against"]) == ("ptu", "scratch")
    assert against["wins"] + against["ties"] + against["losses"] == 2
    page = (out / "report.html").read_text("utf-8")
    assert all(f'href="{name}/report.html"' in page for name in NAMES)


def test_a_rerun_does_nothing(again: Path):
    out = again.parent / "out"
    kept = [p for name in NAMES for p in (out / name).rglob("*.jsonl")]
    before, summary = {path: path.read_bytes() for path in kept}, scores(out)
    assert run(again) == 0
    assert {path: path.read_bytes() for path in kept} == before
    assert scores(out) == summary


def test_a_folder_half_written_is_completed(again: Path, study: Path):
    folder = again.parent / "out" / NAMES[0]
    (folder / "source" / "source.json").unlink()  # as before the source is complete
    (folder / "summary.json").unlink()
    (folder / "optuna.db").write_bytes(b"SQLite format 3")
    for name in ("tuning.jsonl", "results.jsonl"):
        path = folder / name
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:3]) + lines[3][:40])
    assert run(again) == 0
    assert scores(again.parent / "out") == scores(study.parent / "out")


def test_a_folder_of_an_older_format_is_named_and_the_others_are_run(again: Path, capsys):
    out = again.parent / "out"
    path = out / NAMES[0] / "results.jsonl"
    lines = [{k: v for k, v in line.items() if k != "metric"} for line in read_lines(path)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (out / NAMES[1] / "summary.json").unlink()
    assert run(again) == 2
    message = capsys.readouterr().err
    assert f"1 of 2 failed: {NAMES[0]}: {path}, line 1, is of an older format" in message
    assert (out / NAMES[1] / "summary.json").exists()


def test_a_wrong_file_ends_with_code_2_and_nothing_is_written(again: Path, capsys):
    content = yaml.safe_load(again.read_text())
    content["output_dir"] = str(again.parent / "other")
    content["experiments"][0]["sead"] = 3
    again.write_text(yaml.safe_dump(content))
    assert run(again) == 2
    assert (
        "experiment 1: nothing is named 'sead' (did you mean 'seeds'?)" in capsys.readouterr().err
    )
    assert not (again.parent / "other").exists()


def test_a_dry_run_prints_the_plan_with_its_time_and_writes_nothing(again: Path, capsys):
    content = yaml.safe_load(again.read_text())
    content["output_dir"] = str(again.parent / "other")
    content["experiments"][0]["rnn_type"] = "lstm"
    again.write_text(yaml.safe_dump(content))
    assert cli.main(["study", str(again), "--workers=1", "--dry_run"]) == 0
    head, line, _, estimate, *_ = capsys.readouterr().out.splitlines()
    assert head.split() == ["experiment", "cells", "tuning", "runs", "estimate"]
    assert line.split()[1:8] == ["2", "0", "/", "8", "0", "/", "4"]
    assert line.split()[-1] in ("s", "min")
    assert estimate.startswith("An estimate: about ")
    assert not (again.parent / "other").exists()


def test_a_dry_run_of_a_finished_study_has_nothing_left(again: Path, capsys):
    assert cli.main(["study", str(again), "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, line in zip(NAMES, lines[1:3], strict=True):
        assert line.split() == [f"{name}", "2", "8", "/", "8", "4", "/", "4", "none"]


@pytest.mark.skipif(os.name == "nt", reason="folders are not locked there")
def test_a_second_process_of_the_same_study_is_refused_but_may_ask_what_is_left(
    again: Path, capsys
):
    out = again.parent / "out"
    (out / "experiments.json").unlink()
    with alone_in(out):
        assert run(again) == 2
        assert f"{out}: another process is at work there" in capsys.readouterr().err
        assert not (out / "experiments.json").exists()
        assert cli.main(["study", str(again), "--dry_run"]) == 0


@pytest.mark.slow
def test_on_a_ray_cluster_the_numbers_are_the_same(study: Path, tmp_path: Path):
    pytest.importorskip("ray")
    content = yaml.safe_load(study.read_text())
    content["output_dir"] = str(tmp_path / "out")
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    assert cli.main(["study", str(path), "--launcher=ray", "--workers=2"]) == 0
    assert scores(tmp_path / "out") == scores(study.parent / "out")
