"""Flags and environment of scripts/benchmark_translation.py."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from ptu_seq.errors import UserError


@pytest.fixture(scope="module")
def script(load_script: Any) -> Any:
    return load_script("benchmark_translation")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["speed", "--rounds", "0"], "argument --rounds: '0' is no whole number of at least 1"),
        (["speed", "--dropout", "1"], "argument --dropout: '1' is no number from 0 to below 1"),
        (["speed", "--batch_token", "3"], "unknown flag --batch_token (did you mean"),
        (["speed", "--systems", "eole"], "invalid choice: 'eole'"),
        (["speed", "--hidden_size", "7"], "--hidden_size is 7; it must be even"),
        (["speed", "--", "--max_steps", "3"], "only quality passes flags on: --max_steps 3"),
        (["quality", "--tuning_settings", "5"], "invalid choice: 5"),
        (["quality", "--output", "."], "--output: cannot write to .:"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_flags_end_with_a_message(script, words, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        script.main(words)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_peers_never_go_into_an_environment_that_is_in_use(script, tmp_path, monkeypatch):
    prepare = script.prepare_environment
    with pytest.raises(UserError, match="is the environment of this very process"):
        prepare(Path(sys.prefix))
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(UserError, match="holds something else; give an empty folder"):
        prepare(tmp_path)


def test_the_environment_is_made_once(script, tmp_path, monkeypatch):
    environment = importlib.import_module("translation_peers.environment")
    commands: list[list[str]] = []
    monkeypatch.setattr(environment, "_run", lambda words: commands.append(words))
    folder = tmp_path / "peers"
    folder.mkdir()
    python = environment.prepare_environment(folder)
    _, needed, peers = commands
    assert f"torch=={environment.torch.__version__}" in needed  # no other build comes in
    assert peers[-3:] == ["--no-deps", "joeynmt==2.3.0", "eole==0.6.4"]
    assert peers[0] == str(python) and needed[0] == str(python)
    assert environment.prepare_environment(folder) == python
    assert len(commands) == 3


def test_processes_that_are_compared_have_one_thread(script, monkeypatch):
    environment = importlib.import_module("translation_peers.environment")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    variables = environment.variables(search_path=["a", "b"])
    assert variables["OMP_NUM_THREADS"] == "1" and variables["PYTHONPATH"] in ("a:b", "a;b")
    assert "PYTHONPATH" not in environment.variables()
