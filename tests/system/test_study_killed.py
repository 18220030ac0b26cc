"""A study whose worker and then driver are killed: the rerun ends with the same numbers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ptu_seq import cli
from ptu_seq.records import read_json, read_lines
from tests.system.test_interrupt import ROOT, start, wait_for_line
from tests.tiny import sentences, write_dataset

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks ps for child processes")


def write_study(folder: Path, output_dir: Path) -> Path:
    content = {
        "output_dir": str(output_dir),
        "tuning": {"trials": 3},
        "experiments": [
            {
                "recipe": "sentence_classification",
                "source_dataset": str(folder / "books"),
                "target_datasets": [str(folder / "films")],
                "name": "films",
                "methods": ["scratch", "fine_tune"],
                "sizes": [50],
                "seeds": 3,
                "embedding_size": 8,
                "hidden_size": 8,
                "vocab_size": 100,
                "source_max_steps": 10,
                "min_steps": 20,
                "max_steps": 20,
                "evaluations": 2,
            }
        ],
    }
    path = folder / f"{output_dir.name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    listed = subprocess.run(
        ["ps", "-wwo", "pid=,args=", "--ppid", str(process.pid)], capture_output=True, text=True
    )
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "spawn_main" in line]


def numbers(output_dir: Path) -> list[dict[str, Any]]:
    """What of the summary must not depend on how the runs came about."""
    fields = ("target", "size", "method", "seeds", "scores", "validation_mean", "setting")
    cells = read_json(output_dir / "summary.json")["cells"]
    return [{field: cell[field] for field in fields} for cell in cells]


@pytest.mark.slow
def test_a_killed_worker_and_then_a_killed_driver_change_no_number(tmp_path: Path):
    rows = (sentences(count, seed) for seed, count in enumerate((200, 40, 40, 100, 40, 40)))
    for name in ("books", "films"):
        write_dataset(tmp_path / name, next(rows), next(rows), next(rows))
    file = write_study(tmp_path, tmp_path / "disturbed")
    folder = tmp_path / "disturbed" / "films"
    command = ROOT / "ptu_seq" / "cli.py"
    with start(command, "study", str(file), "--workers=2") as process:
        wait_for_line(folder / "tuning.jsonl", process)
        os.kill(workers_of(process)[0], signal.SIGKILL)
        wait_for_line(folder / "results.jsonl", process)
        process.kill()
        process.wait(timeout=60)
    finished = [line["run_id"] for line in read_lines(folder / "results.jsonl")]
    assert 1 <= len(finished) < 6

    assert cli.main(["study", str(file), "--workers=1"]) == 0
    lines = [line["run_id"] for line in read_lines(folder / "results.jsonl")]
    assert lines[: len(finished)] == finished
    assert len(set(lines)) == len(lines) == 6
    assert not list(folder.glob(".*"))  # what the killed driver had not finished

    undisturbed = write_study(tmp_path, tmp_path / "undisturbed")
    assert cli.main(["study", str(undisturbed), "--workers=1"]) == 0
    assert numbers(tmp_path / "disturbed") == numbers(tmp_path / "undisturbed")
