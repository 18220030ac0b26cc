"""The translation recipe from end to end, on made-up languages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from ptu_seq import cli
from ptu_seq.errors import UserError
from ptu_seq.models import PTUForConditionalGeneration, RNNForConditionalGeneration
from ptu_seq.records import read_json, read_lines
from recipes.low_resource_mt import main
from tests.tiny import write_translations

METHODS = ["scratch", "frozen", "fine_tune", "zoph", "ptu"]
OF_THE_PROCESS = {"seconds": 0, "invocation": ""}
SMALL = """
workers: 1
seeds: 1
tuning_settings: 1
embedding_size: 24
hidden_size: 32
vocab_size: 300
child_vocab_size: 300
scratch_vocab_size: 300
max_length: 20
batch_tokens: 600
min_steps: 60
max_steps: 60
evaluations: 2
parent_learning_rate: 0.01
parent_epochs: 100
parent_max_steps: 160
beam_size: 2
target_lang: en
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "small.yaml").write_text(SMALL)
    write_translations(folder / "parent", "fr", 1)
    write_translations(folder / "child", "tl", 2)
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
    (path,) = (first / "gates").glob("*.json")
    assert path.stem == lines[-1]["run_id"]
    arrays = load_file(path.with_suffix(".safetensors"))
    read = {
        site: arrays[f"{site}/update/step_count"][0] for site in ("attention", "encoder.embedding")
    }
    assert set(read.values()) == {15}  # each has a first token
    gates = read_json(path)
    spelt = {s["site"]: s["tokens"]["most_source"] for s in gates["sites"]}
    assert all(isinstance(entry["token"], str) for of in spelt.values() for entry in of)
    assert gates["through_training"][-1]["sites"][0].keys() == {"site", "update", "fine_tune"}
    summary = read_json(first / "summary.json")
    assert (summary["recipe"], summary["metric"]) == ("low_resource_mt", "bleu")
    assert [cell["scores"] for cell in summary["cells"]] == [[line["score"]] for line in lines]
    for name in ("summary.md", "report.html", "figures/alignment.png", "figures/alignment.csv"):
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
    assert {**again, **OF_THE_PROCESS} == {**ptu, **OF_THE_PROCESS}


def test_a_run_is_made_again_from_the_folder_alone(first: Path, capsys):
    assert cli.main(["reproduce", str(first)]) == 0
    told = capsys.readouterr().out
    assert told.startswith("identical: child:tl-en, size 60, ptu, seed 0: bleu ")
    assert told.endswith("60 steps, 15 predictions\n")


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


def test_a_search_tries_every_cut_and_keeps_the_best_on_validation(
    data: Path, first: Path, tmp_path: Path
):
    few = ["--min_steps=3", "--max_steps=3", "--evaluations=1"]
    parent = ["--parent_model", str(first / "parent")]
    run(data, tmp_path / "out", "--methods", "layer_search", "fine_tune", *parent, *few)
    trials = read_lines(tmp_path / "out" / "tuning.jsonl")
    # Two recurrent layers, attention and the target's words; fine-tuning has nothing to choose.
    assert len(trials) == 5 * 6 / 2
    assert {trial["method"] for trial in trials} == {"layer_search"}
    assert {(t["setting"]["frozen"], t["setting"]["tuned"]) for t in trials} == {
        (i, j) for i in range(5) for j in range(5 - i)
    }
    best = max(trials, key=lambda trial: trial["validation_score"])
    searched, _ = read_lines(tmp_path / "out" / "results.jsonl")
    assert searched["setting"] == best["setting"]
    assert best["validation_score"] > min(trial["validation_score"] for trial in trials)
    cells = read_json(tmp_path / "out" / "summary.json")["cells"]
    networks = {cell["method"]: cell["training"]["networks"] for cell in cells}
    assert networks == {"layer_search": 15 + 1, "fine_tune": 1}


@pytest.mark.slow
@pytest.mark.parametrize(("way", "method"), [("joint", "ptu+dan"), ("random", "ptu")])
def test_other_ways_to_a_childs_vocabulary(data: Path, tmp_path: Path, way: str, method: str):
    run(data, tmp_path / "out", f"--vocabulary={way}", "--methods", "zoph", method)
    assert len(read_lines(tmp_path / "out" / "results.jsonl")) == 2


@pytest.mark.slow
def test_losses_beside_the_tasks(data: Path, first: Path, tmp_path: Path):
    methods = ["dann", "ptu+ddc", "distillation"]
    words = [f"--parent_model={first / 'parent'}", "--max_steps=20", "--methods", *methods]
    lines: list[list[dict]] = []
    for name in ("out", "again"):
        run(data, tmp_path / name, *words)
        lines.append(read_lines(tmp_path / name / "results.jsonl"))
        words = words[:2] + ["--methods", "dann"]
    assert [line["method"] for line in lines[0]] == methods
    assert {**lines[1][0], **OF_THE_PROCESS} == {**lines[0][0], **OF_THE_PROCESS}
    kept = {path.stem for path in (tmp_path / "out" / "gates").iterdir()}
    assert kept == {lines[0][1]["run_id"]}
    saved = PTUForConditionalGeneration.from_pretrained(tmp_path / "out" / "model")
    assert not any("discriminator" in weight for weight in saved.state_dict())


def test_a_parent_may_be_given(data: Path, first: Path, tmp_path: Path):
    out = tmp_path / "out"
    run(data, out, f"--parent_model={first / 'parent'}", "--methods", "fine_tune")
    (line,) = read_lines(out / "results.jsonl")
    expected = [x for x in read_lines(first / "results.jsonl") if x["method"] == "fine_tune"]
    assert line["score"] == expected[0]["score"]
    assert not (out / "parent").exists()


def test_results_of_another_given_parent_are_never_mixed_in(
    data: Path, first: Path, tmp_path: Path
):
    parent, out = tmp_path / "parent", tmp_path / "out"
    shutil.copytree(first / "parent", parent)
    run(data, out, f"--parent_model={parent}", "--methods", "frozen")
    moved = parent.rename(tmp_path / "moved")  # its place does not matter
    run(data, out, f"--parent_model={moved}", "--methods", "frozen")
    model = RNNForConditionalGeneration.from_pretrained(moved)
    next(model.parameters()).data[5] += 1
    model.save_pretrained(moved)
    with pytest.raises(UserError, match="another configuration .parent_weights was"):
        run(data, out, f"--parent_model={moved}", "--methods", "frozen")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--hidden_size=64"], "another architecture: hidden_size 32 .asked for: 64."),
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
        (["--source_langs", "fr"], "has 1 of the 2 languages"),
        (["--source_langs", "fr", "xx"], "xx"),
        (["--sizes", "500"], "--sizes 500"),
        (["--methods", "zof"], "zoph"),
        (["--methods", "scratch+dann"], "scratch takes no companion"),
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


@pytest.mark.slow
def test_sentences_of_thousands_of_tokens_neither_train_nor_stop_anything(
    data: Path, tmp_path: Path, capsys
):
    child = shutil.copytree(data / "child", tmp_path / "child")
    endless = {"translation": {"en": "brisa " * 5000, "tl": "brisao " * 5000}}
    # Not word for word alike, or they would be dropped from the training pairs for that.
    for split, extra in (("train", "lumo"), ("validation", "vex"), ("test", "talo")):
        row = {"translation": {k: f"{extra} {v}" for k, v in endless["translation"].items()}}
        with (child / f"{split}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    run(
        data,
        tmp_path / "out",
        f"--target_datasets={child}",
        "--sizes=all",
        "--methods",
        "fine_tune",
        "ptu",
    )
    fine_tune, ptu = read_lines(tmp_path / "out" / "results.jsonl")
    assert (fine_tune["left_out"], fine_tune["cut"]) == (ptu["left_out"], ptu["cut"]) == (1, 1)
    folder = tmp_path / "out" / "translations" / "child_tl-en"
    assert len((folder / "all-ptu-0.txt").read_text().splitlines()) == 16
    told = capsys.readouterr()
    for method in ("fine_tune", "ptu"):
        assert f"{method} on child:tl-en, size all: 1 training pair left out" in told.out
        assert f"{method} on child:tl-en: 1 test sentence read to --max_length" in told.out


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
    assert "training on parent:fr-en (200 pairs)" in capsys.readouterr().out
