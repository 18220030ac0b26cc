"""The recipe from end to end, on made-up words."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from safetensors.numpy import load_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from ptu_seq import cli
from ptu_seq.errors import UserError
from ptu_seq.models import PTUForSequenceClassification
from ptu_seq.records import read_json, read_lines
from recipes.sentence_classification import main
from tests.integration.books_and_films import SMALL, results, run, write_data
from tests.tiny import BAD, GOOD, pairs, sentences, write_dataset

ROOT = Path(__file__).parents[2]
METHODS = ["scratch", "frozen", "fine_tune", "ptu"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def first(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished study."""
    folder = tmp_path_factory.mktemp("first") / "out"
    run(data, folder)
    return folder


@pytest.fixture
def finished(first: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(first, tmp_path / "out")


def test_a_study_leaves_what_it_promises(first: Path):
    lines = results(first)
    assert [line["method"] for line in lines] == METHODS
    for line in lines:
        assert (line["source"], line["target"], line["size"], line["seed"]) == (
            "books",
            "films",
            60,
            0,
        )
        assert line["metric"] == "accuracy"
        assert line["steps"] <= 40
        assert 0 < line["parameters"]["trained"] <= line["parameters"]["total"]
        predictions = read_json(first / "predictions" / f"{line['run_id']}.json")
        assert predictions["labels"] == [1, 0] * 40  # bad, good: the labels in their order
        right = [a == b for a, b in zip(*predictions.values(), strict=True)]
        assert line["score"] == sum(right) / 80
    run_id = lines[-1]["run_id"]
    gates = read_json(first / "gates" / f"{run_id}.json")
    sites = {site["site"]: site for site in gates["sites"]}
    assert {"embedding", "classifier"} <= set(sites)
    assert sites["embedding"]["tokens"]["most_source"][0]["count"] >= 5
    assert [record["step"] for record in gates["through_training"]][-1] == lines[-1]["steps"]
    names = {path.name for path in (first / "gates").iterdir()}
    assert names == {f"{run_id}.json", f"{run_id}.safetensors"}
    arrays = load_file(first / "gates" / f"{run_id}.safetensors")
    assert arrays["embedding/update/step_count"][0] == 80  # every test sentence has a first token

    summary = json.loads((first / "summary.json").read_text("utf-8"))
    assert summary["recipe"] == "sentence_classification"
    assert [cell["method"] for cell in summary["cells"]] == METHODS
    assert [cell["scores"] for cell in summary["cells"]] == [[line["score"]] for line in lines]
    assert {"frozen", "fine_tune"} <= {c["against"] for c in summary["comparisons"]}
    assert "films" in (first / "summary.md").read_text("utf-8")
    figures = {path.stem for path in (first / "figures").glob("*.png")}
    gates_of_one = {"gate_neurons", "gate_steps", "gate_training"}
    assert figures == {"scores", "gates", "gate_shares", *gates_of_one}
    assert "<html" in (first / "report.html").read_text("utf-8")
    assert not list(first.glob(".*"))  # nothing unfinished is left
    card = ModelCard.load(first / "model" / "README.md")
    assert card.data.eval_results[0].metric_value == lines[-1]["score"]


def test_transfer_learns(first: Path):
    scores = {line["method"]: line["score"] for line in results(first)}
    assert scores["ptu"] > 0.7
    assert scores["fine_tune"] > 0.7


def test_the_best_model_is_the_one_that_was_scored(first: Path, data: Path, tmp_path: Path, capsys):
    model = AutoModelForSequenceClassification.from_pretrained(first / "model")
    assert isinstance(model, PTUForSequenceClassification)
    assert AutoTokenizer.from_pretrained(first / "model").vocab_size <= 120
    rows = [json.loads(line) for line in (data / "films" / "test.jsonl").read_text().splitlines()]
    (tmp_path / "lines.txt").write_text("".join(row["text"] + "\n" for row in rows))
    words = ["classify", f"--model={first / 'model'}", f"--input={tmp_path / 'lines.txt'}"]
    capsys.readouterr()
    assert cli.main(words) == 0
    labels = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    kept = read_json(first / "model" / "run.json")
    ptu = results(first)[-1]
    assert (kept["cell"]["target"], kept["cell"]["size"], kept["score"]) == (
        "films",
        60,
        ptu["score"],
    )
    predictions = read_json(first / "predictions" / f"{ptu['run_id']}.json")["predictions"]
    assert labels == [("bad", "good")[i] for i in predictions]


def test_a_rerun_does_nothing(finished: Path, data: Path, capsys):
    def contents() -> dict[Path, bytes]:
        kept = [finished / "results.jsonl", finished / "tuning.jsonl"]
        kept += [*(finished / "model").iterdir(), *(finished / "source").iterdir()]
        return {path: path.read_bytes() for path in kept}

    before = contents()
    run(data, finished)
    assert contents() == before
    assert "already trained" in capsys.readouterr().out


def test_a_further_seed_adds_only_its_runs(finished: Path, data: Path):
    before, tuning = results(finished), (finished / "tuning.jsonl").read_bytes()
    run(data, finished, "--seeds", "2", "--methods", "frozen", "ptu")
    added = results(finished)[len(before) :]
    assert results(finished)[: len(before)] == before
    assert [(line["method"], line["seed"]) for line in added] == [("frozen", 1), ("ptu", 1)]
    assert (finished / "tuning.jsonl").read_bytes() == tuning


def test_a_further_target_has_a_model_of_its_own(finished: Path, data: Path):
    model = (finished / "model" / "model.safetensors").read_bytes()
    run(data, finished, "--methods", "ptu", targets="films songs")
    assert [line["target"] for line in results(finished)] == ["films"] * 4 + ["songs"]
    assert (finished / "model" / "model.safetensors").read_bytes() == model
    AutoModelForSequenceClassification.from_pretrained(finished / "model" / "songs")
    cells = read_json(finished / "summary.json")["cells"]
    assert [cell["target"] for cell in cells] == ["films"] * 4 + ["songs"]


def test_the_same_seed_gives_the_same_numbers(first: Path, data: Path, tmp_path: Path):
    run(data, tmp_path / "again", "--methods", "ptu")
    (again,) = results(tmp_path / "again")
    ptu = results(first)[-1]
    for field in ("seconds", "invocation"):  # of the process
        del again[field], ptu[field]
    assert again == ptu


def test_a_run_is_made_again_from_the_folder_alone(finished: Path, data: Path, capsys):
    run(data, finished, "--methods", "frozen", "--sizes", "40")
    kept = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    capsys.readouterr()
    ptu = results(finished)[3]["run_id"]
    assert cli.main(["reproduce", str(finished), "--run", ptu]) == 0
    told = capsys.readouterr().out
    assert (
        told.startswith("identical: films, size 60, ptu, seed 0: accuracy ")
        and "differ" not in told
    )
    assert cli.main(["reproduce", str(finished)]) == 0  # made by another command than the others
    assert capsys.readouterr().out.startswith("identical: films, size 40, frozen, seed 0: ")
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == kept


def test_what_differs_is_told(finished: Path, capsys):
    lines = results(finished)
    lines[1]["score"] = 0.0
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (finished / "results.jsonl").write_text(text, "utf-8")
    capsys.readouterr()
    assert cli.main(["reproduce", str(finished), "--line", "2"]) == 1
    told = capsys.readouterr().out
    assert told.startswith("differs: films, size 60, frozen, seed 0: score 0.0 before, 0.")
    assert told.endswith("  made with: the same versions on a machine of the same kind\n")


def test_data_that_changed_are_not_learned_from_in_place_of_a_runs_own(
    finished: Path, data: Path, tmp_path: Path, capsys
):
    changed = shutil.copytree(data / "films", tmp_path / "films")
    with (changed / "test.jsonl").open("a") as file:
        file.write('{"text": "talo", "label": "good"}\n')
    text = (finished / "study.json").read_text("utf-8")
    (finished / "study.json").write_text(text.replace(str(data / "films"), str(changed)), "utf-8")
    assert cli.main(["reproduce", str(finished)]) == 2
    assert "made again, as the data set films has changed since." in capsys.readouterr().err


def test_pairs(tmp_path: Path, capsys):
    for i, name in enumerate(("agreement", "entailment")):
        rows = (pairs(count, 10 * i + j) for j, count in enumerate((200, 40, 40)))
        write_dataset(tmp_path / name, *rows)
    (tmp_path / "small.yaml").write_text(SMALL)
    out = tmp_path / "out"
    main(
        [
            str(tmp_path / "small.yaml"),
            f"--source_dataset={tmp_path / 'agreement'}",
            f"--target_datasets={tmp_path / 'entailment'}",
            "--sizes=all",
            "--methods=ptu",
            f"--output_dir={out}",
        ]
    )
    assert [line["size"] for line in results(out)] == ["all"]
    (tmp_path / "lines.txt").write_text(f"{GOOD[0]} bami\t{BAD[0]} bami\n")
    capsys.readouterr()
    words = ["classify", f"--model={out / 'model'}", f"--input={tmp_path / 'lines.txt'}"]
    assert cli.main(words) == 0
    assert capsys.readouterr().out.split("\t")[0] in ("agree", "differ")


def test_another_configuration_does_not_mix_in(finished: Path, data: Path):
    before = (finished / "results.jsonl").read_bytes()
    with pytest.raises(UserError, match="another configuration .hidden_size was 16, now 24."):
        run(data, finished, "--hidden_size", "24")
    assert (finished / "results.jsonl").read_bytes() == before


def test_changed_data_do_not_mix_in(finished: Path, data: Path, tmp_path: Path):
    shutil.copytree(data, tmp_path / "data")
    test = sentences(80, 99)
    shutil.rmtree(tmp_path / "data" / "films")
    write_dataset(tmp_path / "data" / "films", sentences(300, 97), sentences(60, 98), test)
    with pytest.raises(UserError, match="the data set films is not the one"):
        run(tmp_path / "data", finished)


def test_a_source_that_knows_a_new_target_s_test_rows_is_refused(
    finished: Path, data: Path, tmp_path: Path
):
    shutil.copytree(data, tmp_path / "data")
    known = sentences(300, 0)[:20]  # of the training rows about books
    write_dataset(tmp_path / "data" / "leaky", sentences(99, 97), sentences(60, 98), known)
    with pytest.raises(UserError, match="has learned 20 rows of the test sets given now"):
        run(tmp_path / "data", finished, targets="films leaky")
    run(tmp_path / "data", tmp_path / "new", "--methods=frozen", targets="leaky")
    assert len(read_json(tmp_path / "new" / "source" / "source.json")["left_out"]) == 20
    # The source without these rows serves targets that have none of them.
    run(tmp_path / "data", tmp_path / "new", "--methods=frozen", targets="films")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--methods", "fine_tun"], "no method is named 'fine_tun' .did you mean 'fine_tune'"),
        (["--sizes", "al"], "'al' is no size .did you mean 'all'"),
        (["--sizes", "301"], "has 300 training examples"),
        (["--preset", "papers"], "did you mean 'paper'"),
        (["--seeds", "0"], "--seeds is 0"),
        (["--workers", "-1"], "--workers is -1"),
        (["--source_learning_rate", "-0.1"], "--source_learning_rate is -0.1"),
        (["--hidden_dropout", "1.5"], "--hidden_dropout is 1.5"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(
    data: Path, tmp_path: Path, words: list[str], message: str
):
    with pytest.raises(UserError, match=message):
        run(data, tmp_path / "out", *words)
    assert not (tmp_path / "out" / "source").exists()


@pytest.mark.parametrize("preset", ["quick", "paper", "encoder"])
def test_presets_are_complete(preset: str, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--preset", preset, "--help"])
    assert exit_.value.code == 0
    assert f"(default: {preset})" in capsys.readouterr().out


@pytest.mark.slow
def test_a_method_is_added_from_outside(data: Path, tmp_path: Path):
    """By the README's script of one's own, whose methods the worker processes know as well."""
    readme = (ROOT / "README.md").read_text("utf-8")
    (toy,) = [part for part in readme.split("```python\n") if "class Recurrent" in part]
    script = tmp_path / "recurrent.py"
    script.write_text(toy.partition("```")[0])
    words = [
        str(data / "small.yaml"),
        f"--source_dataset={data / 'books'}",
        f"--target_datasets={data / 'films'}",
        *("--sizes", "60", "--workers", "2", "--methods", "recurrent"),
        *("--max_steps", "4", "--evaluations", "1", "--source_max_steps", "4"),
        f"--output_dir={tmp_path / 'out'}",
    ]
    done = subprocess.run(
        [sys.executable, str(script), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = results(tmp_path / "out")
    assert [line["method"] for line in lines] == ["recurrent"]
    # The embeddings are not trained: vectors of 16 features for at most 120 tokens.
    for line in lines:
        frozen = line["parameters"]["total"] - line["parameters"]["trained"]
        assert frozen % 16 == 0 and 0 < frozen <= 120 * 16


@pytest.mark.slow
def test_companions_stand_in_the_table_beside_the_others(data: Path, tmp_path: Path):
    run(data, tmp_path / "out", "--methods", "dann", "ptu+ddc", "distillation")
    lines = results(tmp_path / "out")
    assert [line["method"] for line in lines] == ["dann", "ptu+ddc", "distillation"]
    assert len(list((tmp_path / "out" / "gates").glob("*.json"))) == 1
    assert "ptu+ddc" in (tmp_path / "out" / "summary.md").read_text("utf-8")
    tried = read_lines(tmp_path / "out" / "tuning.jsonl")
    assert {t["setting"].get("alignment") for t in tried if t["method"] == "dann"} == {0.25}


def test_where_activations_are_kept_changes_no_number(first: Path, data: Path, finished: Path):
    for name in ("results.jsonl", "tuning.jsonl"):
        (finished / name).unlink()
    shutil.rmtree(finished / "predictions")
    kept = finished / "kept"
    words = ["--methods", "frozen", "ptu", "--source_cache=disk", f"--source_cache_dir={kept}"]
    run(data, finished, *words)
    # Training and validation examples, of tuning and of the run, for each of the methods.
    assert len(list(kept.glob("*.safetensors"))) == 8
    expected = [line for line in results(first) if line["method"] in ("frozen", "ptu")]
    for line, other in zip(results(finished), expected, strict=True):
        for name in ("run_id", "score", "validation_score", "steps", "config_hash", "setting"):
            assert line[name] == other[name]
        path = Path("predictions", f"{line['run_id']}.json")
        assert read_json(finished / path) == read_json(first / path)
