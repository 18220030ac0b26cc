from __future__ import annotations

import json
import statistics

import pytest

from ptu_seq.errors import UserError
from ptu_seq.evaluation import paired_bootstrap, paired_seed_test
from ptu_seq.report import read_results, write_summary
from ptu_seq.report.metrics import get_metric
from ptu_seq.report.summary import headline


def test_format_of_the_file(full_run):
    summary = write_summary(full_run, "sentence_classification")
    assert json.loads((full_run / "summary.json").read_text()) == json.loads(json.dumps(summary))
    assert (summary["recipe"], summary["metric"]) == ("sentence_classification", "accuracy")
    assert len(summary["cells"]) == 2 * 2 * 4
    assert len(summary["comparisons"]) == 2 * 2 * 3
    cell = {"source", "target", "size", "method", "scores", "mean", "std"}
    assert all(cell <= one.keys() for one in summary["cells"])
    comparison = {"source", "target", "size", "method", "against", "difference", "p_value"}
    assert all(comparison <= one.keys() for one in summary["comparisons"])
    assert {"python", "torch", "transformers", "ptu_seq", "platform", "cpu_count", "threads"} <= (
        summary["environment"].keys()
    )
    assert [path.name for path in full_run.glob("*.part")] == []


def test_cells_are_in_order(full_run):
    cells = write_summary(full_run, "r")["cells"]
    assert list(dict.fromkeys((c["target"], c["size"]) for c in cells)) == [
        ("rotten_tomatoes", 100),
        ("rotten_tomatoes", "all"),
        ("trec", 100),
        ("trec", "all"),
    ]
    assert [c["method"] for c in cells[:4]] == ["scratch", "frozen", "fine_tune", "ptu"]


def test_a_cell_holds_its_runs(tmp_path, write_run):
    for seed, score in ((2, 0.5), (0, 0.25), (1, 0.75)):  # as parallel runs may finish
        write_run("ptu", seed, score=score)
    (cell,) = write_summary(tmp_path, "r")["cells"]
    assert cell["seeds"] == [0, 1, 2]
    assert cell["scores"] == [0.25, 0.75, 0.5]
    assert cell["mean"] == pytest.approx(0.5)
    assert cell["std"] == pytest.approx(statistics.stdev(cell["scores"]))
    assert cell["interval"][0] < cell["mean"] < cell["interval"][1]
    assert cell["validation_mean"] == pytest.approx(0.51)
    assert (cell["steps_mean"], cell["seconds_mean"]) == (310, 9)
    assert cell["parameters"] == {"trained": 1200, "total": 3400}
    assert cell["setting"] == {"learning_rate": 0.001}


def test_a_cell_tells_what_it_took_with_all_settings_tried(tmp_path, write_run):
    for seed in (0, 1):
        write_run("ptu", seed)
    write_run("fine_tune", 0)
    trial = {k: read_results(tmp_path)[0][k] for k in ("source", "target", "size", "method")}
    config_hash = read_results(tmp_path)[0].get("config_hash")
    trials = [
        {**trial, "seconds": 30.0, "config_hash": config_hash},
        {**trial, "seconds": 60.0, "config_hash": config_hash},
        {**trial, "seconds": 1000.0, "config_hash": "of another study"},
        {**trial, "method": "frozen", "seconds": 1000.0, "config_hash": config_hash},
    ]
    (tmp_path / "tuning.jsonl").write_text("".join(json.dumps(t) + "\n" for t in trials))
    theirs, ours = write_summary(tmp_path, "r")["cells"]
    seconds = read_results(tmp_path)[0]["seconds"]
    assert ours["training"] == {"networks": 4, "seconds": 90.0 + 2 * seconds}
    assert theirs["training"] == {"networks": 1, "seconds": seconds}
    line = f"fine_tune 1 network in {seconds / 60:.1f} min, ptu 4 networks in"
    assert line in (tmp_path / "summary.md").read_text("utf-8")


def test_comparisons_use_the_seeds_both_have(tmp_path, write_run):
    ours = [write_run("ptu", seed) for seed in (0, 1, 2, 3)]
    theirs = [write_run("fine_tune", seed) for seed in (1, 2, 3, 4)]
    write_run("frozen", 9)  # shares no seed, so there is nothing to compare
    (comparison,) = write_summary(tmp_path, "r")["comparisons"]
    a, b = [run["score"] for run in ours[1:]], [run["score"] for run in theirs[:3]]
    assert (comparison["method"], comparison["against"]) == ("ptu", "fine_tune")
    assert comparison["seeds"] == 3
    assert comparison["difference"] == pytest.approx(sum(a) / 3 - sum(b) / 3)
    assert comparison["p_value_seeds"] == pytest.approx(paired_seed_test(a, b).t_test)
    assert comparison["wins"] == sum(x > y for x, y in zip(a, b, strict=True))


def test_p_value_comes_from_the_stored_predictions(tmp_path, write_run):
    runs = {m: [write_run(m, seed) for seed in range(2)] for m in ("fine_tune", "ptu")}
    (comparison,) = write_summary(tmp_path, "r")["comparisons"]
    stored = {
        m: [json.loads((tmp_path / f"predictions/{r['run_id']}.json").read_text()) for r in rs]
        for m, rs in runs.items()
    }
    expected = paired_bootstrap(
        stored["ptu"][0]["labels"],
        [run["predictions"] for run in stored["ptu"]],
        [run["predictions"] for run in stored["fine_tune"]],
    )
    assert comparison["p_value"] == expected.p_value
    assert tuple(comparison["interval"]) == expected.interval
    assert comparison["difference"] == pytest.approx(expected.difference)


def test_companions_are_compared_with_everything_before_them(tmp_path, write_run):
    for method in ("ptu+dann", "l2_sp", "ptu", "frozen"):
        write_run(method)
    pairs = [(c["method"], c["against"]) for c in write_summary(tmp_path, "r")["comparisons"]]
    assert pairs == [
        ("ptu", "frozen"),
        ("ptu", "l2_sp"),
        ("ptu+dann", "frozen"),
        ("ptu+dann", "l2_sp"),
        ("ptu+dann", "ptu"),
    ]


def test_one_seed(tmp_path, write_run):
    write_run("ptu")
    write_run("frozen")
    summary = write_summary(tmp_path, "r")
    assert [cell["std"] for cell in summary["cells"]] == [None, None]
    (comparison,) = summary["comparisons"]
    assert comparison["p_value"] is not None
    assert comparison["p_value_seeds"] is None


def test_missing_predictions_leave_the_seed_test(tmp_path, write_run, caplog):
    for seed in range(3):
        write_run("ptu", seed)
        write_run("frozen", seed, predictions=seed != 1)
    (comparison,) = write_summary(tmp_path, "r")["comparisons"]
    assert comparison["p_value"] is None and comparison["interval"] is None
    assert comparison["p_value_seeds"] is not None
    assert "predictions are missing" in caplog.text


def test_test_sets_that_differ_are_not_compared_by_example(tmp_path, write_run, caplog):
    write_run("ptu", examples=400)
    write_run("frozen", examples=300)
    assert write_summary(tmp_path, "r")["comparisons"][0]["p_value"] is None
    assert "test sets differ" in caplog.text


def test_other_metrics_have_no_accuracy_bootstrap(tmp_path, write_run):
    write_run("ptu", metric="macro_f1")
    write_run("frozen", metric="macro_f1")
    summary = write_summary(tmp_path, "r")
    assert summary["metric"] == "macro_f1"
    assert summary["comparisons"][0]["p_value"] is None


def test_without_results(tmp_path):
    with pytest.raises(UserError, match="no finished run"):
        write_summary(tmp_path, "r")


def test_mixed_metrics(tmp_path, write_run):
    write_run("ptu")
    write_run("frozen", metric="macro_f1")
    with pytest.raises(UserError, match="accuracy, macro_f1"):
        write_summary(tmp_path, "r")


def test_writing_again_gives_the_same_numbers(full_run):
    first = write_summary(full_run, "r")
    assert write_summary(full_run, "r") == first


def test_command_and_configuration_are_kept(tmp_path, write_run):
    write_run("ptu")
    write_summary(tmp_path, "r", command="python x.py", configuration={"seeds": 5})
    written = json.loads((tmp_path / "summary.json").read_text())
    assert (written["command"], written["configuration"]) == ("python x.py", {"seeds": 5})


def cells(*rows: dict[str, float]) -> list[dict]:
    return [
        {"source": "s", "target": "t", "size": i, "method": method, "mean": mean}
        for i, row in enumerate(rows)
        for method, mean in row.items()
    ]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            [
                {"scratch": 0.5, "frozen": 0.70, "fine_tune": 0.72, "ptu": 0.74},
                {"scratch": 0.5, "frozen": 0.73, "fine_tune": 0.72, "ptu": 0.725},
            ],
            "ptu has the highest mean in 1 of 2 cells; against the better of frozen and fine_tune "
            "it gains 0.75 points on average (worst -0.50).",
        ),
        (
            [{"frozen": 0.70, "fine_tune": 0.72, "ptu": 0.71}],
            "ptu has the highest mean in 0 of 1 cell; against the better of frozen and fine_tune "
            "it loses 1.00 points on average (worst -1.00).",
        ),
        (
            [{"frozen": 0.70, "ptu": 0.71}, {"frozen": 0.70}],
            "ptu has the highest mean in 1 of 1 cell.",
        ),
    ],
)
def test_headline_is_computed_from_the_means(rows, sentence):
    assert headline(cells(*rows), get_metric("accuracy")) == sentence


def test_headline_without_anything_to_compare():
    rows = cells({"ptu": 0.7}, {"frozen": 0.7, "scratch": 0.6})
    assert "nothing to compare" in headline(rows, get_metric("accuracy"))


def test_runs_are_left_as_they_were(full_run):
    before = (full_run / "results.jsonl").read_bytes()
    write_summary(full_run, "r")
    assert (full_run / "results.jsonl").read_bytes() == before
    assert len(read_results(full_run)) == 2 * 2 * 4 * 3
