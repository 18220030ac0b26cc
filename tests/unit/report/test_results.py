from __future__ import annotations

import json

import pytest

from ptu_seq.report.results import (
    is_ptu,
    order_methods,
    order_sizes,
    read_gates,
    read_predictions,
    read_results,
)


def test_reads_runs_in_order(tmp_path, write_run):
    written = [write_run("ptu", 0), write_run("frozen", 0), write_run("ptu", 1)]
    assert read_results(tmp_path) == written


def test_no_file_means_no_runs(tmp_path):
    assert read_results(tmp_path) == []


@pytest.mark.parametrize("keep", [-1, -20, 10, 1])
def test_half_a_last_line_is_left_out_with_a_warning(tmp_path, write_run, caplog, keep):
    first = write_run("ptu", 0)
    write_run("ptu", 1, target="réseau")
    path = tmp_path / "results.jsonl"
    whole, last = path.read_bytes().splitlines()
    path.write_bytes(whole + b"\n" + last[:keep])
    assert read_results(tmp_path) == [first]
    assert "line 2" in caplog.text


def test_a_line_cut_inside_a_character(tmp_path, write_run, caplog):
    first = write_run("ptu", 0)
    with (tmp_path / "results.jsonl").open("ab") as file:
        file.write('{"target": "é'.encode()[:-1])
    assert read_results(tmp_path) == [first]
    assert "line 2" in caplog.text


@pytest.mark.parametrize("line", ["3", "[]", '{"method": "ptu"}'])
def test_a_line_without_the_fields_is_left_out(tmp_path, write_run, caplog, line):
    with (tmp_path / "results.jsonl").open("w") as file:
        file.write(line + "\n\n")
    after = write_run("ptu", 0)
    assert read_results(tmp_path) == [after]
    assert "line 1: no run_id" in caplog.text


def test_of_repeated_runs_the_last_counts(tmp_path, write_run):
    write_run("ptu", 0, score=0.5)
    other = write_run("ptu", 1)
    last = write_run("ptu", 0, score=0.9, run_id="another-id")
    assert sorted(read_results(tmp_path), key=lambda run: run["seed"]) == [last, other]


def test_a_broken_repeat_leaves_the_complete_one(tmp_path, write_run):
    first = write_run("ptu", 0)
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write(json.dumps(first)[:-5])
    assert read_results(tmp_path) == [first]


def test_predictions_and_gates(tmp_path, write_run):
    ptu, frozen = write_run("ptu", 0, examples=30), write_run("frozen", 0, examples=30)
    read = read_predictions(tmp_path, ptu["run_id"])
    assert read is not None and [len(part) for part in read] == [30, 30]
    gates = read_gates(tmp_path, ptu["run_id"])
    assert gates is not None and gates[0]["site"] == "embedding"
    assert read_gates(tmp_path, frozen["run_id"]) is None
    assert read_predictions(tmp_path, "unknown") is None


@pytest.mark.parametrize("content", ['{"labels": [0, 1], "pre', '{"labels": [0]}', "[]"])
def test_incomplete_predictions_count_as_none(tmp_path, content):
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "x.json").write_text(content)
    assert read_predictions(tmp_path, "x") is None


def test_orders():
    methods = ["ptu+dann", "lp_ft", "ptu", "fine_tune", "l2_sp", "scratch", "frozen", "ptu"]
    assert order_methods(methods) == [
        *("scratch", "frozen", "fine_tune", "l2_sp", "lp_ft", "ptu", "ptu+dann")
    ]
    assert order_sizes(["all", 2000, 100]) == [100, 2000, "all"]
    assert [is_ptu(m) for m in ("ptu", "ptu+dann", "fine_tune+dann", "ptu_x")] == [
        *(True, True, False, False)
    ]
