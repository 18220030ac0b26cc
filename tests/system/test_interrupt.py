"""A study that is stopped in the middle: what is finished stays, and nothing is done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ptu_seq.records import read_json, read_lines
from recipes import low_resource_mt, sentence_classification
from tests.tiny import sentences, write_dataset, write_translations

ROOT = Path(__file__).parents[2]

# After the first job both processes have work for longer than any test may take.
SLEEPERS = """
import time
from ptu_seq.runner import JobRunner

if __name__ == "__main__":
    with JobRunner(time.sleep, workers=2) as runner:
        for _ in runner([0, 6000, 6000]):
            print("begun", flush=True)
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


@dataclass(frozen=True)
class Recipe:
    """A recipe's script, its function, and arguments for runs that are short but not too short."""

    script: Path
    main: Callable[[list[str]], None]
    arguments: list[str]


#: Five runs of half a second or so, after three or four to choose a setting.
SHORT = {
    "sizes": "50",
    "seeds": 5,
    "methods": "scratch",
    "embedding_size": 8,
    "hidden_size": 8,
    "min_steps": 60,
    "max_steps": 60,
    "evaluations": 4,
    "patience": 100,
}


@pytest.fixture(params=["sentence_classification", "low_resource_mt"])
def recipe(request: pytest.FixtureRequest, tmp_path: Path) -> Recipe:
    if request.param == "low_resource_mt":
        main = low_resource_mt.main
        source = write_translations(tmp_path / "parent", "fr", 1)
        target = write_translations(tmp_path / "child", "tl", 2)
        words = {"target_lang": "en", "tuning_settings": 4, "parent_max_steps": 20}
        words |= {"vocab_size": 300, "scratch_vocab_size": 300, "max_length": 30}
    else:
        main = sentence_classification.main
        rows = (sentences(count, seed) for seed, count in enumerate((200, 40, 40, 100, 40, 40)))
        source = write_dataset(tmp_path / "books", next(rows), next(rows), next(rows))
        target = write_dataset(tmp_path / "films", next(rows), next(rows), next(rows))
        words = {"vocab_size": 100, "source_max_steps": 20}
    words = {"source_dataset": source, "target_datasets": target, **SHORT, **words}
    arguments = [f"--{name}={value}" for name, value in words.items()]
    return Recipe(ROOT / "recipes" / f"{request.param}.py", main, arguments)


@contextmanager
def start(script: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A process in a group of its own, as a shell would start it."""
    process = subprocess.Popen(
        [sys.executable, str(script), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # whatever a failing test has left
        process.communicate()


def wait_for_line(path: Path, process: subprocess.Popen[str]) -> None:
    while not read_lines(path):
        if process.poll() is not None:
            output = process.communicate()[0]
            pytest.fail(f"ended with {process.returncode} before {path.name} was begun:\n{output}")
        time.sleep(0.02)


def wait_for_end(process: subprocess.Popen[str]) -> str:
    """The output of a process, which ends once no child holds it open any more."""
    return process.communicate(timeout=300)[0]


def scores(folder: Path) -> dict[str, Any]:
    """What must not depend on how the runs came about, by run."""
    lines = read_lines(folder / "results.jsonl")
    assert len({line["run_id"] for line in lines}) == len(lines)
    return {line["run_id"]: {**line, "seconds": None, "invocation": None} for line in lines}


@pytest.mark.slow
def test_ctrl_c_then_the_same_command_again(recipe: Recipe, tmp_path: Path):
    out = tmp_path / "out"
    with start(recipe.script, *recipe.arguments, f"--output_dir={out}", "--workers=2") as process:
        wait_for_line(out / "results.jsonl", process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all of the group
        output = wait_for_end(process)
    assert process.returncode == 130, output
    assert "Interrupted: what was finished is kept" in output
    assert "Traceback" not in output
    finished = scores(out)
    assert 1 <= len(finished) < 5
    assert read_json(out / "summary.json")["cells"][0]["scores"]
    assert not list(out.glob(".*"))

    recipe.main([*recipe.arguments, f"--output_dir={out}", "--workers=1"])
    assert len(scores(out)) == 5
    assert scores(out).items() >= finished.items()

    recipe.main([*recipe.arguments, f"--output_dir={tmp_path / 'in_one_go'}", "--workers=1"])
    assert scores(tmp_path / "in_one_go") == scores(out)


def test_no_process_outlives_a_killed_one(tmp_path: Path):
    script = tmp_path / "sleepers.py"
    script.write_text(SLEEPERS)
    with start(script) as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        process.kill()
        wait_for_end(process)
