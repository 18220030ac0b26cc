"""What the gates learned, in figures and as numbers."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from ptu_seq import cli
from ptu_seq.report import read_results, write_figures, write_report, write_summary
from ptu_seq.report.figures import closest_run
from ptu_seq.report.layer_curve import LayerCurve, agreement

SITES = ("embedding", "layer_0", "layer_1")


def numbers(folder: Path, figure: str) -> list[dict[str, str]]:
    with (folder / "figures" / f"{figure}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def add_details(folder: Path, run: dict[str, Any]) -> None:
    """As a run keeps them: gates by neuron, step and token, shares, and the training's course."""
    path = folder / "gates" / f"{run['run_id']}.json"
    content = json.loads(path.read_text())
    for site in content["sites"]:
        site["shares"] = {"target": 0.5, "kept": 0.2, "retuned": 0.3}
        site["tokens"] = {
            "most_source": [{"token": "good<b>", "mean": 0.9, "count": 7}],
            "least_source": [{"token": "bad", "mean": 0.1, "count": 9}],
        }
    content["through_training"] = [
        {
            "step": step,
            "sites": [{"site": s, "update": 0.5, "fine_tune": step / 100} for s in SITES],
        }
        for step in (10, 20, 30)
    ]
    path.write_text(json.dumps(content))
    arrays = {}
    for site in SITES:
        for gate in ("update", "fine_tune"):
            arrays[f"{site}/{gate}/neuron_mean"] = np.array([0.2, 0.8, 0.5], np.float32)
        if site == "embedding":
            continue
        for gate in ("update", "fine_tune"):
            arrays[f"{site}/{gate}/step_mean"] = np.array([0.1, 0.2, 0.3, 0.9], np.float32)
            arrays[f"{site}/{gate}/step_count"] = np.array([9, 8, 5, 4])
    save_file(arrays, path.with_suffix(".safetensors"))


@pytest.fixture
def folder(tmp_path, write_run):
    for size in (100, 500):
        for seed, score in enumerate((0.5, 0.9, 0.7)):
            add_details(tmp_path, write_run("ptu", seed, size=size, score=score))
        write_run("fine_tune", size=size)
    return tmp_path


def draw(folder: Path) -> list[str]:
    summary = write_summary(folder, "sentence_classification")
    return [path.stem for path in write_figures(folder, summary, read_results(folder))]


def test_all_figures_are_drawn_with_their_numbers(folder):
    drawn = draw(folder)
    assert drawn == [
        *("scores", "gates", "gate_shares", "gate_neurons", "gate_steps", "gate_training"),
    ]
    for name in drawn:
        assert numbers(folder, name)


def test_a_run_of_which_a_file_is_lost_is_not_shown_closely(folder):
    for path in (folder / "gates").glob("*.json"):
        path.write_text("{")
    assert closest_run(folder, read_results(folder)) is None
    assert draw(folder) == ["scores"]


def test_the_run_shown_closely_is_the_best_with_the_most_examples(folder):
    run = closest_run(folder, read_results(folder))
    assert run is not None and (run["size"], run["seed"]) == (500, 1)


def test_neurons_are_ordered_by_their_update_gate(folder):
    draw(folder)
    order = [row["neuron"] for row in numbers(folder, "gate_neurons") if row["site"] == "layer_0"]
    assert order == ["1", "2", "0"]


def test_positions_that_few_sentences_reach_are_left_out(folder):
    draw(folder)
    rows = numbers(folder, "gate_steps")
    assert {row["position"] for row in rows} == {"1", "2", "3"}
    assert {row["site"] for row in rows} == {"layer_0", "layer_1"}


def test_shares_are_means_over_seeds(folder):
    run = next(run for run in read_results(folder) if run["size"] == 100)
    path = folder / "gates" / f"{run['run_id']}.json"
    content = json.loads(path.read_text())
    content["sites"][0]["shares"] = {"target": 0.2, "kept": 0.8, "retuned": 0.0}
    path.write_text(json.dumps(content))
    draw(folder)
    row = numbers(folder, "gate_shares")[0]
    assert [row[share] for share in ("target", "kept", "retuned")] == ["0.4000", "0.4000", "0.2000"]


def test_the_page_shows_them_and_the_tokens(folder):
    draw(folder)
    page = write_report(folder).read_text(encoding="utf-8")
    for heading in ("What each layer is made of", "Neuron by neuron", "Along the sentence"):
        assert heading in page
    assert "Of the run ptu, rotten_tomatoes, 500, 1" in page
    assert "good&lt;b&gt;" in page and '<td class="text">bad</td><td>0.10</td><td>9</td>' in page


def test_results_of_an_older_format_still_have_a_report(tmp_path, write_run):
    write_run("ptu")
    assert draw(tmp_path) == ["scores", "gates"]
    assert "Neuron by neuron" not in write_report(tmp_path).read_text(encoding="utf-8")


def test_a_damaged_file_of_gates_is_named_and_left_out(folder, caplog):
    for file in (folder / "gates").glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:20])
    assert draw(folder) == ["scores", "gates", "gate_shares"]
    assert ".safetensors: not a complete file" in caplog.text


def test_layers_frozen_and_tuned_beside_the_gates(folder):
    cuts = {(0, 0): 0.4, (0, 1): 0.5, (0, 2): 0.7, (1, 0): 0.45, (1, 1): 0.9, (2, 0): 0.6}
    with (folder / "tuning.jsonl").open("w") as file:
        for (frozen, tuned), score in cuts.items():
            for rate in (0.01, 0.001):
                line = {
                    **{"method": "layer_search", "target": "rotten_tomatoes", "size": 100},
                    "setting": {"learning_rate": rate, "frozen": frozen, "tuned": tuned},
                    "validation_score": score - rate,
                }
                file.write(json.dumps(line) + "\n")
    assert draw(folder)[-1] == "layer_curve"
    rows = numbers(folder, "layer_curve")
    by_freezing = [row["value"] for row in rows if row["what"] == "frozen layers"]
    by_tuning = [row["value"] for row in rows if row["what"] == "tuned layers"]
    assert by_freezing == ["39.900", "44.900", "59.900"] and by_tuning == [
        "39.900",
        "49.900",
        "69.900",
    ]
    shares = {row["layers or site"]: row["value"] for row in rows if "share" in row["what"]}
    assert shares == dict.fromkeys(SITES, "0.5000")
    (folder / "tuning.jsonl").write_text('{"of": "an older format"}\n')
    assert "layer_curve" not in draw(folder)
    assert not list((folder / "figures").glob("layer_curve.*"))


def test_whether_they_agree_is_said(folder):
    with (folder / "tuning.jsonl").open("w") as file:
        for frozen, tuned in ((0, 0), (0, 1), (1, 0)):
            line = {"method": "layer_search", "target": "rotten_tomatoes", "size": 100}
            setting = {"frozen": frozen, "tuned": tuned}
            file.write(json.dumps({**line, "setting": setting, "validation_score": 0.5}) + "\n")
    draw(folder)
    page = write_report(folder).read_text(encoding="utf-8")
    assert "rotten_tomatoes, 100: too few layers" in page


def test_gates_and_search_agree_or_not():
    curve = LayerCurve("trec", 100, {0: 0.5, 1: 0.7, 2: 0.8, 3: 0.8}, {})
    for order, said in (((0.1, 0.5, 0.9), "rises"), ((0.9, 0.5, 0.1), "falls")):
        shares = {f"layer{i}": {"target": target} for i, target in enumerate(order)}
        assert f"the share of the source {said}" in agreement(curve, shares)
        assert agreement(curve, {**shares, "classifier": {"target": 0.0}}) == agreement(
            curve, shares
        )
    assert "all layers are alike" in agreement(curve, dict.fromkeys("abc", {"target": 0.3}))
    assert "too few layers" in agreement(curve, dict.fromkeys("ab", {"target": 0.3}))


def test_report_makes_everything_anew(folder, capsys):
    (folder / "study.json").write_text(json.dumps({"recipe": "sentence_classification"}))
    assert cli.main(["report", str(folder)]) == 0
    assert (folder / "figures/gate_neurons.png").exists() and (folder / "summary.md").exists()
    assert f"Report: {folder / 'report.html'}" in capsys.readouterr().out


def test_report_keeps_the_command_of_the_recipe(folder):
    write_summary(folder, "sentence_classification", command="python x.py", configuration={"a": 1})
    assert cli.main(["report", str(folder)]) == 0
    assert "python x.py" in (folder / "report.html").read_text(encoding="utf-8")


def test_a_report_that_cannot_be_written_is_told(folder, capsys):
    write_summary(folder, "sentence_classification")
    (folder / "report.html").mkdir()
    assert cli.main(["report", str(folder)]) == 2
    assert "report.html cannot be read or written (Is a directory)" in capsys.readouterr().err


def test_a_folder_without_results_is_no_study(tmp_path, capsys):
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "accepted is the --output_dir of a recipe" in capsys.readouterr().err
