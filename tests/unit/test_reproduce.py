"""What is compared of a run that was made again, and what is said where none can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ptu_seq import cli
from ptu_seq.environment import environment
from ptu_seq.jobs import Outcome
from ptu_seq.records import append_line, write_json
from ptu_seq.reproduce import Reproduction, changes, differences

PARAMETERS = {"trained": 1, "total": 2}
LINE: dict[str, Any] = {
    "run_id": "ptu-5-0-ab",
    "method": "ptu",
    "source": "books",
    "target": "films",
    "size": 5,
    "seed": 0,
    "metric": "accuracy",
    "score": 0.75,
    "validation_score": 0.5,
    "setting": {},
    "steps": 7,
    "parameters": PARAMETERS,
}
KEPT = ([0, 1, 1, 0], [0, 1, 0, 0])


def outcome(**changed: Any) -> Outcome:
    fields = {"validation_score": 0.5, "steps": 7, "score": 0.75, "predictions": KEPT[1]}
    return Outcome(seconds=1.0, parameters=PARAMETERS, labels=KEPT[0], **{**fields, **changed})


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, []),
        ({"score": 0.5}, ["score 0.75 before, 0.5 now"]),
        ({"steps": 6}, ["steps 7 before, 6 now"]),
        ({"validation_score": 0.25}, ["validation score 0.5 before, 0.25 now"]),
        ({"predictions": [1, 1, 0, 1]}, ["2 of 4 predictions"]),
    ],
)
def test_a_score_a_step_and_a_prediction_that_differ_are_told(changed, told):
    assert differences(LINE, KEPT, outcome(**changed)) == told


def test_predictions_on_other_labels_or_lost_are_told():
    assert differences(LINE, ([0, 1, 1, 1], KEPT[1]), outcome()) == [
        "the test set's labels are others"
    ]
    assert differences(LINE, None, outcome()) == ["its predictions are not kept"]


def test_a_verdict_names_the_versions_that_differ():
    assert changes({**environment(), "processes": 2}) == ["processes 2 (here 1)"]
    before = {**environment(), "torch": "1.0", "threads": 77}
    now = environment()["torch"]
    assert changes(before) == [f"torch 1.0 (here {now})"]
    verdict = str(Reproduction(LINE, outcome(), ["steps 7 before, 6 now"], changes(before)))
    assert verdict == (
        "differs: films, size 5, ptu, seed 0: steps 7 before, 6 now\n"
        f"  made with: torch 1.0 (here {now})"
    )
    same = str(Reproduction(LINE, outcome(), [], changes(before)))
    assert same == "identical: films, size 5, ptu, seed 0: accuracy 0.75, 7 steps, 4 predictions"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--run", "ptu-5-0-ac"], "has no such run_id (did you mean 'ptu-5-0-ab'?)."),
        (["--line", "3"], "--line 3: accepted is up to 2"),
        (["--line", "1"], "--line 1: it is not complete, or a later line is of the same run."),
        ([], "does not tell the recipe's arguments for ptu-5-0-ab, as folders of ptu-seq 0.1.0"),
    ],
)
def test_runs_that_cannot_be_found_are_told(words, message, tmp_path: Path, capsys):
    append_line(tmp_path / "results.jsonl", {**LINE, "score": 0.7})
    append_line(tmp_path / "results.jsonl", LINE)
    assert cli.main(["reproduce", str(tmp_path), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_its_source_or_without_results_is_told(tmp_path: Path, capsys):
    assert cli.main(["reproduce", str(tmp_path)]) == 2
    assert "accepted is the --output_dir of a recipe" in capsys.readouterr().err
    append_line(tmp_path / "results.jsonl", {**LINE, "invocation": "a"})
    noted = {"a": {"arguments": {"seeds": 1}, "environment": {}}}
    write_json(tmp_path / "study.json", {"recipe": "image_pair", "invocations": noted})
    assert cli.main(["reproduce", str(tmp_path)]) == 2
    assert "it holds no source/ and no parent/" in capsys.readouterr().err
