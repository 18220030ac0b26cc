"""What a study file may say, and what is said of one that is wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ptu_seq import cli
from ptu_seq.errors import UserError
from ptu_seq.jobs import TUNING_SEED
from ptu_seq.records import append_line
from ptu_seq.study_file import StudyFile, read_study
from ptu_seq.study_runs import planned_row

IMAGE = "{recipe: image_pair, source_dataset: mnist, target_datasets: [digits]"
TEXT = "{recipe: sentence_classification, target_datasets: [tweets]"


@pytest.fixture
def read(tmp_path: Path):
    def read(text: str) -> StudyFile:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return read_study(path)

    return read


def test_defaults_and_tuning_reach_every_recipe_that_has_the_flag(read):
    study = read(
        "name: first\ndefaults: {seeds: 2, width: 4}\ntuning: {trials: 6, seed: 3}\n"
        f"experiments:\n- {IMAGE}, seeds: 7}}\n- {TEXT}, sizes: [100, all]}}\n"
    )
    assert study.output_dir == Path("runs/first")
    image, text = study.experiments
    assert image.output_dir == Path("runs/first/image_pair-mnist-digits")
    assert [image.argument(name) for name in ("seeds", "width", "tuning_trials")] == [7, 4, 6]
    assert [text.argument(name) for name in ("seeds", "tuning_seed")] == [2, 3]
    assert text.plan.sizes == [100, "all"]
    assert "width" not in text.arguments
    row = planned_row(text)
    assert (row.trials, row.runs, row.left) == (6 * 4 * 2, 4 * 2 * 2, 64)


def test_lists_where_a_flag_takes_one_value_are_products(read):
    study = read(
        "experiments:\n- {recipe: image_pair, source_dataset: [mnist, digits], "
        "target_datasets: [tiny], architecture: [lenet, vgg], sizes: [1, 3]}"
    )
    assert study.name == "mine"
    assert [experiment.name for experiment in study.experiments] == [
        "image_pair-mnist-tiny-lenet",
        "image_pair-mnist-tiny-vgg",
        "image_pair-digits-tiny-lenet",
        "image_pair-digits-tiny-vgg",
    ]
    assert [one.argument("architecture") for one in study.experiments] == ["lenet", "vgg"] * 2


def test_without_tuning_each_method_has_its_own_settings(read):
    (experiment,) = read(f"experiments: [{IMAGE}, methods: [fine_tune]}}]").experiments
    assert planned_row(experiment).trials == 4 * 4  # settings x sizes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experimnts: []", r"mine.yaml: nothing is named 'experimnts' .did you mean 'experiments'"),
        ("name: a", "experiments must be a list of recipes"),
        ("tuning: {trials: [3, 5]}", "mine.yaml, tuning: trials is one number"),
        ("tuning: {seed: 3}", "mine.yaml, tuning: say how many trials"),
        ("name: a\nname: b", "cannot be read: 'name' is given twice"),
        ("tuning: {trails: 3}", "mine.yaml, tuning: nothing is named 'trails' .*'trials'"),
        ("experiments: [{sizes: [1]}]", "experiment 1: it must say its recipe"),
        ("experiments: [{recipe: image_pear}]", "experiment 1: no recipe is named 'image_pear' .*"),
        ("experiments: [5]", "mine.yaml, experiment 1 must hold names with values"),
        (
            f"experiments: [{IMAGE}}}, {TEXT}, sead: 3}}]",
            "mine.yaml, experiment 2: nothing is named 'sead' .did you mean 'seeds'",
        ),
        (f"defaults: {{sed: 3}}\nexperiments: [{IMAGE}}}]", "mine.yaml, defaults: .*'seeds'"),
        (f"experiments: [{IMAGE}, seeds: many}}]", "experiment 1: .*invalid int value: 'many'"),
        (f"experiments: [{IMAGE}, seeds: 0}}]", "experiment 1: --seeds is 0"),
        (f"experiments: [{IMAGE}, architecture: lenett}}]", "experiment 1: .*did you mean 'lenet'"),
        (f"experiments: [{IMAGE}, architecture: []}}]", "architecture is an empty list"),
        (f"experiments: [{IMAGE}, methods: [ptuu]}}]", "experiment 1: no method is named 'ptuu'"),
        (f"experiments: [{IMAGE}, sizes: [-1]}}]", "experiment 1: --sizes '-1' is no size"),
        (f"experiments: [{IMAGE}, output_dir: a}}]", "experiment 1: output_dir is the study's"),
        (f"experiments: [{IMAGE}, tuning_trials: 9}}]", "give trials under tuning"),
        (
            f"experiments: [{IMAGE}}}, {TEXT}}}, {IMAGE}, sizes: [1]}}]",
            "experiment 3 and experiment 1 would both write to runs/mine/image_pair-mnist-digits",
        ),
        (
            "experiments: [{recipe: image_pair, target_datasets: [digits, digits]}]",
            "two of target_datasets are called 'digits'",
        ),
        (f"experiments: [{IMAGE}, width: [8, 8]}}]", "experiment 1: two of its combinations would"),
        (f"experiments: [{IMAGE}, name: ..}}]", "experiment 1: no experiment can be named '..'"),
        (f"experiments: [{IMAGE}, name: Figures}}]", "no experiment can be named 'Figures'"),
        (f"experiments: [{IMAGE}, name: [a, b]}}]", "experiment 1: name must be one word"),
        (f"output_dir: [a]\nexperiments: [{IMAGE}}}]", "mine.yaml: output_dir must be one word"),
        (
            "experiments: [{recipe: low_resource_mt, truncate: maybe}]",
            r"experiment 1: .*case insensitive\)\.$",
        ),
    ],
)
def test_a_wrong_file_is_told_where_it_is_wrong(read, text: str, message: str):
    if "experiments" not in text and "tuning" in text:
        text += f"\nexperiments: [{IMAGE}}}]"
    with pytest.raises(UserError, match=message):
        read(text)


def test_a_name_tells_experiments_apart(read):
    study = read(f"experiments: [{IMAGE}}}, {IMAGE}, name: small, sizes: [1]}}]")
    assert [one.name for one in study.experiments] == ["image_pair-mnist-digits", "small"]


def test_names_that_are_numbers(read):
    study = read(f"name: 3\noutput_dir: 2024\nexperiments: [{IMAGE}, name: 0}}]")
    assert (study.name, study.output_dir) == ("3", Path("2024"))
    assert [one.name for one in study.experiments] == ["0"]


def test_runs_and_trials_that_are_no_longer_asked_for_are_not_counted(read, tmp_path):
    (experiment,) = read(
        f"output_dir: {tmp_path}\nexperiments: [{IMAGE}, name: a, sizes: [3], methods: [ptu], "
        "seeds: 2}]"
    ).experiments
    experiment.output_dir.mkdir()
    asked: dict[str, Any] = {"target": "digits", "size": 3, "method": "ptu", "seed": 0}
    others: list[dict[str, Any]] = [{"method": "frozen"}, {"size": 10}, {"seed": 5}]
    rest = {"run_id": "", "source": "mnist", "metric": "accuracy", "score": 0.5}
    for name in ("results.jsonl", "tuning.jsonl"):
        for line in (asked, *({**asked, **other} for other in others)):
            seed = line["seed"] if name == "results.jsonl" else TUNING_SEED
            append_line(experiment.output_dir / name, {**rest, **line, "seed": seed})
    row = planned_row(experiment)
    assert (row.runs, row.runs_done) == (2, 1)
    assert row.trials_done == min(row.trials, 2)  # the third differs in nothing but its seed


def test_a_dry_run_names_the_experiment_whose_data_there_are_not(tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"output_dir: {tmp_path / 'out'}\nexperiments: [{{recipe: image_pair, name: second, "
        f"source_dataset: {tmp_path / 'nowhere'}}}]"
    )
    assert cli.main(["study", str(path), "--dry_run"]) == 2
    assert "second: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_tuning_without_optuna_says_what_to_install(read, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "ptu_seq.optuna_tuner", raising=False)
    assert read(f"experiments: [{IMAGE}}}]").experiments
    with pytest.raises(UserError, match=r"pip install 'ptu-seq\[study\]'"):
        read(f"tuning: {{trials: 3}}\nexperiments: [{IMAGE}}}]")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--launcher=ray"], "pip install 'ptu-seq[ray]'"),
        (["--ray_address=auto"], "--ray_address is of --launcher ray"),
    ],
)
def test_a_launcher_that_there_is_not(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "ptu_seq.ray_runner", raising=False)
    path = tmp_path / "mine.yaml"
    path.write_text(f"output_dir: {tmp_path / 'out'}\nexperiments: [{IMAGE}}}]")
    assert cli.main(["study", str(path), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_shows_what_a_study_file_is(capsys):
    with pytest.raises(SystemExit):
        cli.main(["study", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "- {recipe: image_pair" in said and "study_quick.yaml" in said
