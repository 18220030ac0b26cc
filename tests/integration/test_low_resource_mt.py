"""The translation recipe from end to end, on made-up languages."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from ptu_seq import cli
from ptu_seq.errors import UserError
from ptu_seq.models import PTUForConditionalGeneration
from ptu_seq.records import read_json, read_lines
from recipes.low_resource_mt import main
from tests.tiny import BAD, GOOD, OTHER

METHODS = ["scratch", "frozen", "fine_tune", "zoph", "ptu"]
SMALL = """
workers: 1
seeds: 1
tuning_settings: 1
embedding_size: 16
hidden_size: 16
vocab_size: 400
child_vocab_size: 400
scratch_vocab_size: 400
max_length: 30
batch_tokens: 400
min_steps: 20
max_steps: 20
evaluations: 2
parent_max_steps: 40
beam_size: 2
target_lang: en
"""

Pairs = list[dict[str, dict[str, str]]]


def pairs(count: int, seed: int, language: str) -> Pairs:
    """Sentences and their translations: every word spelt backwards, or with an ending."""
    draw = random.Random(seed)
    rows = []
    for i in range(count):
        words = [*draw.choices((*OTHER, *GOOD, *BAD), k=draw.randint(3, 7)), f"n{seed}x{i}"]
        foreign = [word[::-1] if language == "fr" else f"{word}o" for word in words]
        rows.append({"translation": {"en": " ".join(words), language: " ".join(foreign)}})
    return rows


def write(folder: Path, language: str, seed: int) -> None:
    folder.mkdir()
    for j, (split, count) in enumerate((("train", 120), ("validation", 20), ("test", 15))):
        lines = [json.dumps(row) for row in pairs(count, 10 * seed + j, language)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "small.yaml").write_text(SMALL)
    write(folder / "parent", "fr", 1)
    write(folder / "child", "tl", 2)
    return folder


def run(data: Path, output_dir: Path, *words: str) -> None:
    main(
        [
            str(data / "small.yaml"),
            f"--source_dataset={data / 'parent'}",
            f"--target_datasets={data / 'child'}",
            "--sizes=60",
            f"--output_dir={output_dir}",
            "--source_langs",
            "fr",
            "tl",
            "--methods",
            *METHODS,
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


def test_a_study_leaves_what_it_promises(first: Path):
    lines = read_lines(first / "results.jsonl")
    assert [line["method"] for line in lines] == METHODS
    for line in lines:
        assert (line["source"], line["target"]) == ("parent:fr-en", "child:tl-en")
        assert line["metric"] == "bleu"
        assert line["score"] == line["scores"]["bleu"]
        assert set(line["scores"]) == {"bleu", "chrf", "ter"} == set(line["signatures"])
        predictions = read_json(first / "predictions" / f"{line['run_id']}.json")
        assert len(predictions["labels"]) == len(predictions["predictions"]) == 15
    assert [path.stem for path in (first / "gates").iterdir()] == [lines[-1]["run_id"]]
    summary = read_json(first / "summary.json")
    assert (summary["recipe"], summary["metric"]) == ("low_resource_mt", "bleu")
    assert [cell["scores"] for cell in summary["cells"]] == [[line["score"]] for line in lines]
    for name in ("summary.md", "report.html", "figures"):
        assert (first / name).exists()


def test_translations_stand_beside_source_and_reference(first: Path, data: Path):
    folder = first / "translations" / "child_tl-en"
    expected = [f"60-{method}-0.txt" for method in METHODS]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["source.txt", "reference.txt", *expected]
    )
    rows = [json.loads(x) for x in (data / "child" / "test.jsonl").read_text().splitlines()]
    assert (folder / "source.txt").read_text().splitlines() == [
        row["translation"]["tl"] for row in rows
    ]
    assert (folder / "reference.txt").read_text().splitlines() == [
        row["translation"]["en"] for row in rows
    ]
    assert all(len((folder / name).read_text().splitlines()) == 15 for name in expected)


def test_a_rerun_does_nothing_again(data: Path, finished: Path):
    before = (finished / "results.jsonl").read_bytes()
    trained = (finished / "parent" / "model.safetensors").stat().st_mtime_ns
    run(data, finished)
    assert (finished / "results.jsonl").read_bytes() == before
    assert (finished / "parent" / "model.safetensors").stat().st_mtime_ns == trained


def test_the_same_seed_gives_the_same_numbers(data: Path, finished: Path):
    before = read_lines(finished / "results.jsonl")
    (finished / "results.jsonl").unlink()
    run(data, finished, "--methods", "ptu")
    (again,) = read_lines(finished / "results.jsonl")
    (ptu,) = [line for line in before if line["method"] == "ptu"]
    assert {**again, "seconds": 0} == {**ptu, "seconds": 0}


def test_the_model_translates_on_the_command_line(first: Path, tmp_path: Path, capsys):
    model = first / "model"
    assert isinstance(
        PTUForConditionalGeneration.from_pretrained(model), PTUForConditionalGeneration
    )
    (tmp_path / "in.txt").write_text("lumoo balano\n\ngruto domio\n", encoding="utf-8")
    capsys.readouterr()
    assert cli.main(["translate", f"--model={model}", str(tmp_path / "in.txt")]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == 4
    assert lines[1] == ""


@pytest.mark.parametrize("way", ["joint", "random"])
def test_other_ways_to_a_childs_vocabulary(data: Path, tmp_path: Path, way: str):
    run(data, tmp_path / "out", f"--vocabulary={way}", "--methods", "zoph", "ptu")
    assert len(read_lines(tmp_path / "out" / "results.jsonl")) == 2


def test_a_parent_may_be_given(data: Path, first: Path, tmp_path: Path):
    out = tmp_path / "out"
    run(data, out, f"--parent_model={first / 'parent'}", "--methods", "fine_tune")
    (line,) = read_lines(out / "results.jsonl")
    expected = [x for x in read_lines(first / "results.jsonl") if x["method"] == "fine_tune"]
    assert line["score"] == expected[0]["score"]
    assert not (out / "parent").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--hidden_size=32"], "another architecture: hidden_size 16 .asked for: 32."),
        (["--vocabulary=joint"], "give --vocabulary match or random"),
    ],
)
def test_a_parent_that_does_not_fit_is_explained(
    data: Path, first: Path, tmp_path: Path, words: list[str], message: str
):
    with pytest.raises(UserError, match=message):
        run(data, tmp_path / "out", f"--parent_model={first / 'parent'}", *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--source_langs", "fr"], "has 1 languages; give 2"),
        (["--source_langs", "fr", "xx"], "xx"),
        (["--sizes", "500"], "--sizes 500"),
        (["--methods", "zof"], "zoph"),
        (["--vocabulary", "mach"], "match"),
        (["--max_length", "2"], "--max_length"),
    ],
)
def test_what_cannot_work_is_explained(
    data: Path, tmp_path: Path, capsys, words: list[str], message: str
):
    with pytest.raises((UserError, SystemExit)) as error:  # flags that cannot be read end at once
        run(data, tmp_path / "out", *words)
    assert message in str(error.value) + capsys.readouterr().err


def test_a_missing_parent_folder_is_explained(data: Path, tmp_path: Path):
    with pytest.raises(UserError, match="nowhere"):
        run(data, tmp_path / "out", f"--parent_model={tmp_path / 'nowhere'}")


def test_sentences_of_the_childs_test_set_are_kept_from_the_parent(
    data: Path, tmp_path: Path, capsys
):
    shutil.copytree(data / "parent", tmp_path / "parent")
    test = json.loads((data / "child" / "test.jsonl").read_text().splitlines()[0])
    shared = {"en": test["translation"]["en"].upper(), "fr": "xuov xuov"}
    with (tmp_path / "parent" / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"translation": shared}) + "\n")
    run(
        data,
        tmp_path / "out",
        f"--source_dataset={tmp_path / 'parent'}",
        "--methods",
        "fine_tune",
    )
    assert "training on parent:fr-en (120 pairs)" in capsys.readouterr().out
