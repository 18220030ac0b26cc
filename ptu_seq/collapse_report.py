"""A model before and after its collapse: size, speed, scores; and the folder that is written."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ptu_seq.collapse import Examples, count_parameters
from ptu_seq.data.vocabulary import SOURCE_FOLDER, TARGET_FOLDER
from ptu_seq.errors import UserError
from ptu_seq.model_card import FILE, is_users_card
from ptu_seq.records import write_json

#: The file that marks a folder as a collapse.
REPORT = "collapse.json"

#: What the folder is called in which one is made. Recipes remove `.unfinished-*`, which is theirs.
UNFINISHED = ".collapsing-"

#: Passes over the timed batches.
ROUNDS = 7


def milliseconds(
    models: Mapping[str, nn.Module], examples: Examples, rounds: int = ROUNDS
) -> dict[str, float]:
    """Milliseconds a batch of each model: the median of passes made in turns.

    Args:
        models: models by name.
        examples: of which some batches are timed.
        rounds: passes of each model, after one that is not counted.
    """
    timed = examples.timed()
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds + 1):
        for name, model in models.items():
            start = time.perf_counter()
            for batch in timed:
                examples.run(model, batch)
            if torch.accelerator.is_available():
                torch.accelerator.synchronize()
            seconds[name].append(time.perf_counter() - start)
    return {
        name: 1000 * statistics.median(times[1:]) / len(timed) for name, times in seconds.items()
    }


def compare(
    models: Mapping[str, nn.Module], validation: Examples, test: Examples
) -> dict[str, dict[str, float]]:
    """Size, speed and scores of models by name; the test split is read here alone."""
    speed = milliseconds(models, validation)
    compared = {}
    for name, model in models.items():
        compared[name] = {
            "parameters": count_parameters(model),
            "milliseconds": speed[name],
            "validation_loss": validation.loss(model),
            "validation_score": validation.score(model),
            "test_score": test.score(model),
        }
    return compared


def as_table(report: Mapping[str, Any]) -> str:
    """The numbers before and after, as text."""
    rows: list[tuple[str, ...]] = [("", "before", "after", "")]
    before, after = report["before"], report["after"]
    saved = 1 - after["parameters"] / before["parameters"]
    counts = (f"{before['parameters']:,}", f"{after['parameters']:,}")
    rows.append(("parameters", *counts, f"{-100 * saved:+.1f}%"))
    metric = report["metric"]
    for key, name, digits in (
        ("milliseconds", f"ms a batch of {report['batch_size']}", 1),
        ("validation_loss", "validation loss", 4),
        ("validation_score", f"validation {metric}", 1),
        ("test_score", f"test {metric}", 1),
    ):
        values = [f"{part[key]:.{digits}f}" for part in (before, after)]
        rows.append((name, *values, f"{after[key] - before[key]:+.{digits}f}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )
    return "\n".join(map(str.rstrip, lines))


def check_output(folder: Path) -> None:
    """Checks that a folder is new, empty or an earlier collapse.

    Raises:
        UserError: if it holds anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output {folder}: a file; accepted is a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / REPORT).is_file():
        raise UserError(
            f"--output {folder}: the folder holds something that is no earlier collapse (no "
            f"{REPORT}); accepted is a new or empty folder, or an earlier collapse, which is "
            "replaced."
        )
    if not folder.absolute().parent.is_dir():
        raise UserError(f"--output {folder}: there is no folder {folder.parent} to make it in.")


def save(
    model: Any, save_tokenizer: Callable[[Path], Any], report: Mapping[str, Any], folder: Path
) -> None:
    """Writes a collapsed model with its tokenizer and report; an earlier one is replaced.

    Its report goes first and comes last, so that it never stands beside parts of two models. A
    model card that its user has written stays.

    Args:
        model: the model.
        save_tokenizer: writes the tokenizer, or both, of the model that was collapsed.
        report: JSON-like.
        folder: see :func:`check_output`.

    Raises:
        UserError: if it cannot be written.
    """
    place = folder.resolve()  # "." has no name of its own
    unfinished = place.with_name(f"{UNFINISHED}{os.getpid()}-{place.name}")
    try:
        model.save_pretrained(unfinished)
        save_tokenizer(unfinished)
        write_json(unfinished / REPORT, report)
        folder.mkdir(exist_ok=True)
        (folder / REPORT).unlink(missing_ok=True)
        for name in (SOURCE_FOLDER, TARGET_FOLDER):  # which a joint tokenizer would not replace
            shutil.rmtree(folder / name, ignore_errors=True)
        for file in sorted(unfinished.iterdir(), key=lambda file: file.name == REPORT):
            if not (file.name == FILE and is_users_card(folder / FILE)):
                file.replace(folder / file.name)
    except OSError as error:
        raise UserError(f"--output {folder}: cannot be written ({error.strerror}).") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
