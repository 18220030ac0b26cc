"""Recipes that are stopped in the midst of a training: the rerun goes on, and nothing differs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from ptu_seq.records import read_json, read_lines
from ptu_seq.resumable_trainer import ResumableTrainer
from recipes import image_pair, low_resource_mt, sentence_classification
from tests.integration.test_image_pair import strokes
from tests.tiny import sentences, write_dataset, write_translations

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="kernels on a GPU may round otherwise each time"
)

SHORT: dict[str, Any] = {"workers": 1, "seeds": 1, "min_steps": 4, "max_steps": 4, "evaluations": 2}


def texts(folder: Path) -> tuple[ModuleType, dict[str, Any], str]:
    rows = (sentences(count, seed) for seed, count in enumerate((60, 20, 20, 40, 20, 20)))
    source = write_dataset(folder / "books", next(rows), next(rows), next(rows))
    target = write_dataset(folder / "films", next(rows), next(rows), next(rows))
    words: dict[str, Any] = {
        "vocab_size": 100,
        "hidden_size": 6,
        "embedding_size": 6,
        "source_max_steps": 6,
    }
    words |= {"sizes": 20, "methods": "gradual_unfreezing", "batch_size": 8}
    return (
        sentence_classification,
        {"source_dataset": source, "target_datasets": target, **words},
        ("source"),
    )


def images(folder: Path) -> tuple[ModuleType, dict[str, Any], str]:
    for i, name in enumerate(("large", "little")):
        (folder / name).mkdir()
        for j, split in enumerate(("train", "validation", "test")):
            np.savez(folder / name / f"{split}.npz", **strokes(30, 3 * i + j, 16))  # type: ignore[arg-type]
    words: dict[str, Any] = {
        "width": 2,
        "image_size": 16,
        "source_max_steps": 6,
        "sizes": 3,
        "methods": "l2_sp",
    }
    words |= {"batch_size": 8}
    places = {"source_dataset": folder / "large", "target_datasets": folder / "little"}
    return image_pair, {**places, **words}, "source"


def pairs(folder: Path) -> tuple[ModuleType, dict[str, Any], str]:
    places = {
        "source_dataset": write_translations(folder / "parent", "fr", 1),
        "target_datasets": write_translations(folder / "child", "tl", 2),
    }
    words: dict[str, Any] = {"target_lang": "en", "tuning_settings": 2, "parent_max_steps": 6}
    words |= {"vocab_size": 300, "child_vocab_size": 300, "max_length": 20, "hidden_size": 6}
    words |= {"embedding_size": 6, "sizes": 40, "methods": "ptu", "batch_tokens": 200}
    return low_resource_mt, {**places, **words}, "parent"


def streamed(make: Callable[[Path], tuple[ModuleType, dict[str, Any], str]]) -> Callable[..., Any]:
    """The same with a source that is read as a stream, in blocks of a few rows."""

    def of_stream(folder: Path) -> tuple[ModuleType, dict[str, Any], str]:
        recipe, words, source = make(folder)
        return recipe, {**words, "streaming": True, "shuffle_buffer": 24}, source

    return of_stream


class Interruption:
    """Raises KeyboardInterrupt right after the checkpoint that is the so manieth.

    Attributes:
        steps: the training steps of all processes' trainings so far.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps = self.written = 0
        self.after: int | None = None
        write, step = ResumableTrainer._write, ResumableTrainer.training_step

        def written(trainer: ResumableTrainer) -> None:
            write(trainer)
            self.written += 1
            if self.written == self.after:
                raise KeyboardInterrupt

        def stepped(trainer: ResumableTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
            self.steps += 1
            return step(trainer, *args, **kwargs)

        monkeypatch.setattr(ResumableTrainer, "_write", written)
        monkeypatch.setattr(ResumableTrainer, "training_step", stepped)


def results(folder: Path) -> list[dict[str, Any]]:
    """All lines, without the time that training took."""
    lines = [
        line for name in ("tuning", "results") for line in read_lines(folder / f"{name}.jsonl")
    ]
    return [{**line, "seconds": None, "invocation": None} for line in lines]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(texts, id="texts"),
        pytest.param(images, id="images"),
        pytest.param(pairs, id="pairs"),
        pytest.param(streamed(texts), id="streamed texts", marks=pytest.mark.slow),
        pytest.param(streamed(pairs), id="streamed pairs", marks=pytest.mark.slow),
    ],
)
def test_a_rerun_goes_on_in_the_midst_of_a_training(
    make: Callable[[Path], tuple[ModuleType, dict[str, Any], str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    recipe, words, source = make(tmp_path)
    monkeypatch.setattr(recipe, "report", lambda *args: None)  # it takes longer than all else
    flags = [f"--{name}={value}" for name, value in {**SHORT, **words}.items()]
    recipe.main([*flags, f"--output_dir={tmp_path / 'at_once'}", "--checkpoint_seconds=0"])
    expected = results(tmp_path / "at_once")
    assert len(expected) >= 2

    out, interruption = tmp_path / "out", Interruption(monkeypatch)
    for after, name in ((3, source), (12, None)):
        interruption.after = after
        with pytest.raises(KeyboardInterrupt):
            recipe.main([*flags, f"--output_dir={out}", "--checkpoint_seconds=1e-9"])
        (folder,) = (out / "checkpoints").iterdir()
        assert name in (None, folder.name)
        assert not list(out.glob(".*"))
    interruption.after = None
    recipe.main([*flags, f"--output_dir={out}", "--checkpoint_seconds=1e-9"])
    assert results(out) == expected
    assert not (out / "checkpoints").exists()
    note, alone = (read_json(f / source / f"{source}.json") for f in (out, tmp_path / "at_once"))
    assert {**note, "seconds": None} == {**alone, "seconds": None}
    # No step was done twice, as each process was stopped right after a checkpoint.
    trained = note["steps"] + sum(line["steps"] for line in expected)
    assert interruption.steps == trained
    assert "checkpoint" not in caplog.text
