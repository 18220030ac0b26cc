"""Several processes of a launcher train as one does, and none outlives another that died."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from ptu_seq.errors import UserError
from ptu_seq.records import read_json, read_lines
from recipes import image_pair, low_resource_mt, sentence_classification
from tests.integration.books_and_films import write_data
from tests.integration.test_image_pair import SMALL as SMALL_IMAGES
from tests.integration.test_image_pair import strokes
from tests.integration.test_low_resource_mt import SMALL as SMALL_TRANSLATION
from tests.system.many_processes import CASES, COMPANIONS, DIVERGING, POISONED, curve
from tests.tiny import write_translations

ROOT = Path(__file__).parents[2]
TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc_per_node=2"]
ACCELERATE = ["accelerate.commands.launch", "--multi_gpu", "--num_processes=2"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="starts processes as on Linux")


def environment(**changes: str) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *sys.path])
    return {**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "", **changes}


def launch(launcher: list[str], script: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *launcher, str(script), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        timeout=600,
    )


def curves(names: list[str], folder: Path, launcher: list[str] = TORCHRUN) -> dict[str, Any]:
    ended = launch(launcher, ROOT / "tests/system/many_processes.py", str(folder), *names)
    assert ended.returncode == 0, ended.stdout
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in names}


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(tmp_path: Path):
    for name, two in curves(list(CASES), tmp_path).items():
        one = curve(name)
        np.testing.assert_allclose(two["losses"], one["losses"], atol=1e-5, err_msg=name)
        np.testing.assert_allclose(two["weights"], one["weights"], atol=1e-5, err_msg=name)
        assert {**two, "losses": 0, "weights": 0} == {**one, "losses": 0, "weights": 0}, name


@pytest.mark.slow
def test_what_diverges_in_one_process_ends_in_all(tmp_path: Path):
    """Though that process sees it in the first part of a step, and the others after the second."""
    assert curves([DIVERGING], tmp_path) == {DIVERGING: {"step": POISONED}}


@pytest.mark.slow
def test_with_a_companion_two_processes_are_as_one_with_batches_in_two_parts(tmp_path: Path):
    for name, two in curves(list(COMPANIONS), tmp_path).items():
        one = curve(name, parts=2)
        assert len(one["losses"]) == 2 * len(two["losses"])
        np.testing.assert_allclose(two["weights"], one["weights"], atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_accelerate_launch_does_as_torchrun(tmp_path: Path):
    (name,) = ["texts, fine_tune"]
    two = curves([name], tmp_path, ACCELERATE)[name]
    np.testing.assert_allclose(two["losses"], curve(name)["losses"], atol=1e-5)


def arguments(recipe: Any, folder: Path) -> list[str]:
    """A short study without dropout."""
    words = ["--workers=0", "--seeds=2"]
    if recipe is sentence_classification:
        write_data(folder)
        source, target, config = folder / "books", folder / "films", folder / "small.yaml"
        words += ["--sizes=61", "--hidden_dropout=0", "--embedding_dropout=0"]
        words += ["--methods", "fine_tune", "ptu", "--source_max_steps=30"]
    elif recipe is image_pair:
        source, target, config = folder / "large", folder / "little", folder / "small.yaml"
        config.write_text(SMALL_IMAGES)
        for path, size, first in ((source, 16, 0), (target, 10, 10)):
            path.mkdir()
            for i, (split, count) in enumerate(
                {"train": 241, "validation": 60, "test": 90}.items()
            ):
                np.savez(path / f"{split}.npz", **strokes(count, first + i, size))  # type: ignore[arg-type]
        words += ["--sizes=5", "--dropout=0", "--methods", "fine_tune", "ptu"]
        words += ["--source_max_steps=30"]
    else:
        config = folder / "small.yaml"
        config.write_text(SMALL_TRANSLATION)
        source = write_translations(folder / "parent", "fr", 1)
        target = write_translations(folder / "child", "tl", 2)
        words += ["--sizes=60", "--parent_dropout=0", "--source_langs", "fr", "tl"]
        words += ["--methods", "fine_tune", "ptu", "--parent_max_steps=30"]
    return [str(config), f"--source_dataset={source}", f"--target_datasets={target}", *words]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "source"),
    [
        (sentence_classification, "source"),
        (image_pair, "source"),
        (low_resource_mt, "parent"),
    ],
    ids=["text", "images", "translation"],
)
def test_a_recipe_in_two_processes(recipe: Any, source: str, tmp_path: Path):
    words = arguments(recipe, tmp_path)
    one, two = tmp_path / "one", tmp_path / "two"
    assert recipe.__file__ is not None
    ended = launch(TORCHRUN, Path(recipe.__file__), *words, f"--output_dir={two}")
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.count("Report: ") == 1, ended.stdout
    recipe.main([*words, "--workers=1", f"--output_dir={one}"])

    notes = [read_json(folder / source / f"{source}.json") for folder in (one, two)]
    for field in ("steps", "validation_score"):
        assert notes[1][field] == pytest.approx(notes[0][field]), field
    learned = [load_file(folder / source / "model.safetensors") for folder in (one, two)]
    for name, weights in learned[0].items():
        np.testing.assert_allclose(learned[1][name], weights, atol=1e-4, err_msg=name)
    runs = [
        Counter((line["method"], line["seed"]) for line in read_lines(folder / "results.jsonl"))
        for folder in (one, two)
    ]
    assert runs[0] == runs[1] and set(runs[1].values()) == {1}
    trials = [len(read_lines(folder / "tuning.jsonl")) for folder in (one, two)]
    assert trials[0] == trials[1]
    assert sorted(p.name for p in two.iterdir()) == sorted(p.name for p in one.iterdir())

    again = launch(TORCHRUN, ROOT / "ptu_seq/cli.py", "reproduce", str(two))
    assert again.returncode == 0 and again.stdout.count("identical: ") == 1, again.stdout


@pytest.mark.parametrize("recipe", [sentence_classification, image_pair, low_resource_mt])
def test_workers_beside_a_launcher_are_refused_before_data_is_read(
    recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ptu_seq.runner.world_size", lambda: 2)
    words = ["--workers=3", "--source_dataset=./nowhere", f"--output_dir={tmp_path / 'out'}"]
    with pytest.raises(UserError, match="--workers is 3, but the 2 processes"):
        recipe.main(words)
    assert not (tmp_path / "out").exists()


def free_port() -> int:
    with socket.create_server(("", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unlucky", "how", "told"),
    [
        (1, "killed", "rank 1 on .* has died"),
        (1, "error", "ValueError: no such luck"),
        (0, "killed", "rank 0 ended before its work was done"),
        (0, "both", "luck is not accepted"),
    ],
)
def test_nobody_waits_for_a_process_that_ended(unlucky: int, how: str, told: str, tmp_path: Path):
    """With no launcher to end the others, as on other machines."""
    port = str(free_port())
    begun = time.monotonic()
    processes = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "tests/system/dying.py"), str(unlucky), how],
            env=environment(
                RANK=str(own),
                LOCAL_RANK=str(own),
                WORLD_SIZE="2",
                MASTER_ADDR="localhost",
                MASTER_PORT=port,
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for own in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert all(process.returncode for process in processes), outputs
    survivor = outputs[0 if how == "both" else 1 - unlucky]
    assert re.search(told, survivor), outputs
    assert time.monotonic() - begun < 120
