"""The image recipe from end to end, on made-up strokes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModelForImageClassification

from ptu_seq import cli
from ptu_seq.data.images import load_images
from ptu_seq.errors import UserError
from ptu_seq.images.batches import ImageExamples, predict
from ptu_seq.models import PTUForImageClassification
from ptu_seq.records import read_json, read_lines
from recipes.image_pair import main

METHODS = ["scratch", "frozen", "fine_tune", "ptu"]
SMALL = """
workers: 1
seeds: 1
width: 4
image_size: 16
batch_size: 16
min_steps: 40
max_steps: 40
evaluations: 4
source_learning_rate: 0.005
source_max_steps: 120
"""


def strokes(count: int, seed: int, size: int) -> dict[str, np.ndarray]:
    """A horizontal, a vertical or a diagonal stroke somewhere in the image, in noise."""
    draw = np.random.default_rng(seed)
    x = draw.integers(0, 60, (count, size, size))
    y = np.arange(count) % 3
    for image, kind in zip(x, y, strict=True):
        at = draw.integers(2, size - 2)
        if kind == 0:
            image[at] += 180
        elif kind == 1:
            image[:, at] += 180
        else:
            image[np.arange(size), (np.arange(size) + at) % size] += 180
    return {"x": x.astype(np.uint8), "y": y}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Strokes in two sizes."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "small.yaml").write_text(SMALL)
    for name, size, first in (("large", 16, 0), ("little", 10, 10)):
        (folder / name).mkdir()
        for i, (split, count) in enumerate({"train": 240, "validation": 60, "test": 90}.items()):
            np.savez(folder / name / f"{split}.npz", **strokes(count, first + i, size))  # type: ignore[arg-type]
    return folder


def run(data: Path, output_dir: Path, *words: str) -> None:
    main(
        [
            str(data / "small.yaml"),
            f"--source_dataset={data / 'large'}",
            f"--target_datasets={data / 'little'}",
            "--sizes",
            "5",
            f"--output_dir={output_dir}",
            *words,
        ]
    )


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


def results(folder: Path) -> list[dict[str, Any]]:
    return read_lines(folder / "results.jsonl")


def test_a_study_leaves_what_it_promises(first: Path):
    lines = results(first)
    assert [line["method"] for line in lines] == METHODS
    for line in lines:
        assert (line["source"], line["target"], line["size"]) == ("large", "little", 5)
        assert line["metric"] == "accuracy" and line["steps"] <= 40
        predictions = read_json(first / "predictions" / f"{line['run_id']}.json")
        assert predictions["labels"] == [0, 1, 2] * 30
        right = [a == b for a, b in zip(*predictions.values(), strict=True)]
        assert line["score"] == sum(right) / 90
    told = read_json(first / "gates" / f"{lines[-1]['run_id']}.json")
    assert {s["site"] for s in told["through_training"][0]["sites"]} == {
        s["site"] for s in told["sites"]
    }
    gates = told["sites"]
    assert len(gates) >= 3 and all(0 < site["update"]["mean"] < 1 for site in gates)
    summary = read_json(first / "summary.json")
    assert summary["recipe"] == "image_pair"
    assert [cell["method"] for cell in summary["cells"]] == METHODS
    figures = {path.stem for path in (first / "figures").glob("*.png")}
    gates_of_one = {"gate_maps", "gate_neurons", "gate_training"}
    assert figures == {"scores", "gates", "gate_shares", "examples", *gates_of_one}
    page = (first / "report.html").read_text("utf-8")
    assert page.count("<img") == len(figures)
    assert not list(first.glob(".*"))  # nothing unfinished is left


def test_transfer_learns(first: Path):
    scores = {line["method"]: line["score"] for line in results(first)}
    assert scores["ptu"] > 0.6
    assert scores["fine_tune"] > 0.6


def test_the_best_model_is_the_one_that_was_scored(first: Path, data: Path):
    model = AutoModelForImageClassification.from_pretrained(first / "model")
    assert isinstance(model, PTUForImageClassification)
    test = ImageExamples(load_images(str(data / "little")).test, 16, 1)
    ptu = results(first)[-1]
    predictions = read_json(first / "predictions" / f"{ptu['run_id']}.json")["predictions"]
    assert predict(model, test) == predictions


def test_a_rerun_does_nothing(finished: Path, data: Path, capsys):
    kept = [finished / "results.jsonl", finished / "tuning.jsonl"]
    kept += [*(finished / "model").iterdir(), *(finished / "source").iterdir()]
    before = {path: path.read_bytes() for path in kept}
    run(data, finished)
    assert {path: path.read_bytes() for path in kept} == before
    assert "is already trained" in capsys.readouterr().out


def test_a_new_seed_adds_to_what_is_there(finished: Path, data: Path):
    before = (finished / "results.jsonl").read_text()
    run(data, finished, "--seeds=2", "--methods", "fine_tune")
    after = (finished / "results.jsonl").read_text()
    assert after.startswith(before) and len(results(finished)) == 5


def test_the_same_seed_gives_the_same_numbers(first: Path, data: Path, tmp_path: Path):
    run(data, tmp_path / "out", "--methods", "fine_tune", "ptu")
    ours = {line["method"]: line["score"] for line in results(tmp_path / "out")}
    theirs = {line["method"]: line["score"] for line in results(first)}
    assert ours == {name: theirs[name] for name in ours}


def test_a_run_is_made_again_from_the_folder_alone(first: Path, capsys):
    assert cli.main(["reproduce", str(first)]) == 0
    assert capsys.readouterr().out.startswith("identical: little, size 5, ptu, seed 0: accuracy ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sizes", "500"], r"--sizes 500: .*little' has 80 training images of the class '0'"),
        (["--methods", "finetune"], r"no method is named 'finetune' \(did you mean"),
        (["--architecture", "vgg", "--image_size", "4"], "--architecture vgg: "),
        (["--source_dataset", "nowhere.npz"], "There is no file nowhere.npz"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(words, message, data: Path, tmp_path: Path):
    with pytest.raises(UserError, match=message):
        run(data, tmp_path / "out", *words)


def test_the_source_is_no_target(data: Path, tmp_path: Path):
    with pytest.raises(UserError, match="is the source itself"):
        run(data, tmp_path / "out", f"--target_datasets={data / 'large'}")


@pytest.mark.slow
def test_companions_stand_in_the_table_beside_the_others(data: Path, tmp_path: Path):
    run(data, tmp_path / "out", "--methods", "coral", "ptu+dann")
    lines = read_lines(tmp_path / "out" / "results.jsonl")
    assert [line["method"] for line in lines] == ["coral", "ptu+dann"]
    assert isinstance(
        PTUForImageClassification.from_pretrained(tmp_path / "out" / "model"),
        PTUForImageClassification,
    )
