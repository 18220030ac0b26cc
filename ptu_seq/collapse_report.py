"""A model before and after its collapse: size, speed, scores; and the folder that is written."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ptu_seq.collapse import Batch, Metric, count_parameters, evaluate
from ptu_seq.errors import UserError
from ptu_seq.model_card import FILE, is_users_card
from ptu_seq.records import write_json

#: The file that marks a folder as a collapse.
REPORT = "collapse.json"

#: Passes over the timed batches, and how many batches at most are timed.
ROUNDS, TIMED_BATCHES = 7, 8


@torch.inference_mode()
def milliseconds(
    models: Mapping[str, nn.Module], batches: Sequence[Batch], rounds: int = ROUNDS
) -> dict[str, float]:
    """Milliseconds a batch of each model: the median of passes made in turns.

    Args:
        models: models by name.
        batches: of which some, of all lengths, are timed.
        rounds: passes of each model, after one that is not counted.
    """
    timed = batches[:: -(-len(batches) // TIMED_BATCHES)]
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds + 1):
        for name, model in models.items():
            start = time.perf_counter()
            for batch in timed:
                model(**{key: tensor for key, tensor in batch.items() if key != "labels"})
            if torch.accelerator.is_available():
                torch.accelerator.synchronize()
            seconds[name].append(time.perf_counter() - start)
    return {
        name: 1000 * statistics.median(times[1:]) / len(timed) for name, times in seconds.items()
    }


def compare(
    models: Mapping[str, nn.Module],
    validation: Sequence[Batch],
    test: Sequence[Batch],
    metric: Metric,
) -> dict[str, dict[str, float]]:
    """Size, speed and scores of models by name; the test split is read here alone."""
    speed = milliseconds(models, validation)
    compared = {}
    for name, model in models.items():
        loss, score = evaluate(model, validation, metric)
        compared[name] = {
            "parameters": count_parameters(model),
            "milliseconds": speed[name],
            "validation_loss": loss,
            "validation_score": score,
            "test_score": evaluate(model, test, metric).score,
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


def save(model: Any, tokenizer: Any, report: Mapping[str, Any], folder: Path) -> None:
    """Writes a collapsed model with its tokenizer and report; an earlier one is replaced.

    A model card that its user has written stays.

    Args:
        model: the model.
        tokenizer: the tokenizer of the model that was collapsed.
        report: JSON-like.
        folder: see :func:`check_output`.

    Raises:
        UserError: if it cannot be written.
    """
    place = folder.resolve()  # "." has no name of its own
    unfinished = place.with_name(f".unfinished-{place.name}")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        write_json(unfinished / REPORT, report)
        folder.mkdir(exist_ok=True)
        for file in unfinished.iterdir():
            if not (file.name == FILE and is_users_card(folder / FILE)):
                file.replace(folder / file.name)
    except OSError as error:
        raise UserError(f"--output {folder}: cannot be written ({error.strerror}).") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
