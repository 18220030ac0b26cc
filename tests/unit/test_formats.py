"""What files say of their format, and what is said of a newer one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForSequenceClassification

from ptu_seq import __version__, cli, formats
from ptu_seq.errors import UserError
from ptu_seq.models import RNNConfig, RNNForSequenceClassification
from ptu_seq.records import read_json, write_json
from ptu_seq.report.results import read_results
from ptu_seq.study import Study

NEWER = {"format": 99, "version": "9.1.0", "needs": "9.0.0"}
TOLD = (
    rf"was written by ptu-seq 9\.1\.0 in a format that this version \({__version__}\) cannot read; "
    r"it needs ptu-seq 9\.0\.0 or newer"
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The folder of a classifier."""
    config = RNNConfig(vocab_size=8, embedding_size=2, hidden_size=2)
    RNNForSequenceClassification(config).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def rewrite(path: Path, stamp: dict[str, Any] | None) -> None:
    """Gives a file another stamp, or none, and a field that this version knows nothing of."""
    content = read_json(path)
    content.pop(formats.KEY, None)
    if stamp is not None:
        content |= {formats.KEY: stamp, "rnn_type": "of tomorrow"}
    write_json(path, content)


def test_files_tell_their_format_and_the_version_that_wrote_them(model: Path, tmp_path: Path):
    Study(tmp_path / "out", "toy", "imdb", {})
    for path, own in (
        (model / "config.json", formats.MODEL),
        (tmp_path / "out" / "study.json", formats.RESULTS),
    ):
        stamp = read_json(path)["ptu_seq"]
        assert stamp == {"format": own.number, "version": __version__, "needs": own.needs}
        assert own.number >= 1


def test_files_of_before_there_were_formats_are_read(model: Path, tmp_path: Path):
    for path in (model / "config.json", tmp_path / "out" / "study.json"):
        Study(tmp_path / "out", "toy", "imdb", {})
        rewrite(path, None)
    assert AutoModelForSequenceClassification.from_pretrained(model).config.hidden_size == 2
    Study(tmp_path / "out", "toy", "imdb", {})
    assert read_json(tmp_path / "out" / "study.json")["ptu_seq"] == formats.RESULTS.stamp()


def test_a_model_that_is_saved_again_has_the_stamp_of_now(model: Path, tmp_path: Path):
    rewrite(model / "config.json", {"format": 0, "version": "0.0.1", "needs": "0.0.1"})
    content = read_json(model / "config.json")
    write_json(model / "config.json", content | {"rnn_type": "lstm"})
    config = AutoConfig.from_pretrained(model)
    assert not hasattr(config, "ptu_seq")
    config.save_pretrained(tmp_path / "again")
    assert read_json(tmp_path / "again" / "config.json")["ptu_seq"] == formats.MODEL.stamp()


def test_a_model_of_a_newer_format_is_refused_by_the_library(model: Path):
    rewrite(model / "config.json", NEWER)
    for load in (AutoConfig, AutoModelForSequenceClassification, RNNForSequenceClassification):
        with pytest.raises(ValueError, match=f"^The model {TOLD}\\.$"):
            load.from_pretrained(model)


@pytest.mark.parametrize(
    "words",
    [
        ["classify"],
        ["explain"],
        ["translate"],
        ["collapse", "--dataset=imdb"],
        ["export", "out.pt2"],
    ],
)
def test_a_model_of_a_newer_format_is_refused_by_every_command(
    model: Path, tmp_path: Path, words: list[str], monkeypatch, capsys
):
    rewrite(model / "config.json", NEWER)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lines.txt").write_text("good\n")
    monkeypatch.setattr("sys.stdin", (tmp_path / "lines.txt").open())
    assert cli.main([*words, "--model", str(model)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ptu-seq: --model {model}: it was written by ptu-seq 9.1.0")
    assert line.endswith("it needs ptu-seq 9.0.0 or newer.")


@pytest.mark.parametrize("name", ["study.json", "experiments.json"])
def test_a_results_folder_of_a_newer_format_is_refused_unchanged(tmp_path: Path, name: str, capsys):
    write_json(tmp_path / name, {formats.KEY: NEWER, "study": "s", "experiments": []})
    (tmp_path / "results.jsonl").write_text('{"half')
    for read in (lambda: read_results(tmp_path), lambda: Study(tmp_path, "toy", "imdb", {})):
        with pytest.raises(UserError, match=f"its {name} {TOLD}\\.$"):
            read()
    for command in ("report", "reproduce"):
        assert cli.main([command, str(tmp_path)]) == 2
        assert "needs ptu-seq 9.0.0 or newer." in capsys.readouterr().err
    assert (tmp_path / "results.jsonl").read_text() == '{"half'
    assert {path.name for path in tmp_path.iterdir()} == {name, "results.jsonl"}


def test_a_study_of_a_newer_format_is_not_gone_on_with(tmp_path: Path, capsys):
    write_json(tmp_path / "out" / "experiments.json", {formats.KEY: NEWER})
    study = tmp_path / "study.yaml"
    study.write_text(f"output_dir: {tmp_path / 'out'}\nexperiments: [{{recipe: image_pair}}]\n")
    assert cli.main(["study", str(study)]) == 2
    assert "its experiments.json was written by ptu-seq 9.1.0" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["experiments.json"]
