"""What each release has saved loads in this version, and says the same.

`scripts/make_fixtures.py` wrote tests/fixtures/vX.Y with ptu-seq X.Y.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import ptu_seq
from ptu_seq import cli, models
from ptu_seq.data import TokenizerPair
from ptu_seq.recipe_files import load_recipe
from ptu_seq.records import read_json
from ptu_seq.report.results import read_gates, read_predictions, read_results
from ptu_seq.translation.inference import translate

FIXTURES = Path(__file__).parents[1] / "fixtures"
MODELS = sorted(FIXTURES.glob("v*/models/*"))
RESULTS = sorted(FIXTURES.glob("v*/results/*"))

#: What uses a recipe's best model on the command line; images have no command.
COMMANDS = {
    "sentence_classification": ["classify", "--output_format=jsonl", "--input"],
    "low_resource_mt": ["translate"],
}


def name(path: Path) -> str:
    return str(path.relative_to(FIXTURES))


@pytest.fixture(params=RESULTS, ids=name)
def results(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch) -> Path:
    """A copy of a results folder, in a copy of the folder that its recipe was run in."""
    release = request.param.parents[1]
    shutil.copytree(release / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(request.param, tmp_path / "results" / request.param.name)


def test_this_version_has_a_fixture():
    version = ".".join(ptu_seq.__version__.split(".")[:2])
    assert (FIXTURES / f"v{version}").is_dir(), "run scripts/make_fixtures.py"


@pytest.mark.parametrize("folder", MODELS, ids=name)
def test_a_model_of_each_release_gives_the_logits_of_then(folder: Path):
    expected = read_json(folder / "expected.json")
    model = getattr(models, expected["class"]).from_pretrained(folder).eval()
    inputs = {name: torch.tensor(value) for name, value in expected["inputs"].items()}
    with torch.inference_mode():
        logits = model(**inputs).logits
    torch.testing.assert_close(logits, torch.tensor(expected["logits"]), rtol=1e-4, atol=1e-5)
    if "translations" in expected:
        lines, then = zip(*expected["translations"].items(), strict=True)
        tokenizers = TokenizerPair.load(folder)
        now = translate(model, tokenizers, lines, beam_size=1, max_length=8)
        assert [translation.text for translation in now] == list(then)


def test_a_recipe_finds_its_runs_of_each_release_finished(results: Path, capsys):
    kept = [*results.glob("*.jsonl"), *results.rglob("*.safetensors")]
    kept += results.glob("predictions/*")
    before = {path: path.read_bytes() for path in kept}
    cells = read_json(results / "summary.json")["cells"]
    words = json.loads((results / "words.json").read_text("utf-8"))
    load_recipe(results.name).main([*words, f"--output_dir={results}"])
    assert "is already trained" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in kept} == before
    now = read_json(results / "summary.json")["cells"]
    for cell, then in zip(now, cells, strict=True):
        assert {key: cell[key] for key in then} == then


def test_predictions_and_gates_of_each_release_are_read(results: Path):
    for run in read_results(results):
        labels, predictions = read_predictions(results, run["run_id"]) or ([], [])
        assert len(labels) == len(predictions) > 0
        sites = read_gates(results, run["run_id"])
        if (results / "gates").is_dir():
            assert (sites is not None) == (run["method"] == "ptu")


@pytest.mark.parametrize(
    "results", [path for path in RESULTS if path.name in COMMANDS], ids=name, indirect=True
)
def test_the_best_model_of_each_release_is_used_on_the_command_line(results: Path, capsys):
    Path("lines.txt").write_text("lumo ruta\nselan\n", "utf-8")
    assert cli.main([*COMMANDS[results.name], "lines.txt", f"--model={results / 'model'}"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
