"""Reads what finished runs left in an output folder, and puts methods and sizes in order.

A run may be killed while it writes. So a line or a file that does not parse counts as never
written: it is named in a warning and left out, and a rerun does that run again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from ptu_seq import formats
from ptu_seq.errors import UserError

Result = dict[str, Any]
Size = int | str
Predictions = list[int] | list[str]

logger = logging.getLogger(__name__)

REQUIRED = ("run_id", "method", "source", "target", "size", "seed", "metric", "score")
_MAPPINGS = ("parameters", "setting", "scores", "signatures")
OPTIONAL = ("validation_score", "steps", "seconds", "config_hash", *_MAPPINGS)
#: A number beyond which no result can be, and the characters of a run's id, at most.
LARGEST, LONGEST_NAME = 1e15, 240
_FIRST, _LAST = ("scratch", "frozen", "fine_tune"), "ptu"


def read_results(output_dir: str | Path) -> list[Result]:
    """The finished runs in `results.jsonl`, in their order; of repeated runs the last one.

    Two lines are the same run if method, source, target, size and seed agree. A line that does not
    parse, as a kill in mid-write leaves it, or lacks a field, or has one of another kind, is left
    out with a warning. A file that is not there gives an empty list.

    Raises:
        UserError: if a newer version wrote the folder in a format of its own.
    """
    formats.check_results(Path(output_dir))
    path = Path(output_dir) / "results.jsonl"
    if not path.exists():
        return []
    results: dict[tuple[Any, ...], Result] = {}
    # Split as bytes: a kill may cut a character in half, and JSON strings may hold U+2028.
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            result = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            logger.warning("%s, line %d: not complete JSON; left out.", path, number)
            continue
        fields = result if isinstance(result, dict) else {}
        absent = [k for k in REQUIRED if k not in fields or not _is_valid(k, fields[k])]
        absent += [k for k in OPTIONAL if fields.get(k) is not None and not _is_valid(k, fields[k])]
        if absent:
            logger.warning("%s, line %d: no %s; left out.", path, number, ", ".join(absent))
            continue
        results[(*cell_key(result), result["method"], result["seed"])] = result
    return list(results.values())


def read_summary(output_dir: str | Path) -> dict[str, Any]:
    """The content of `summary.json`.

    Raises:
        UserError: if it is not there or not complete.
    """
    path = Path(output_dir) / "summary.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{output_dir}: there is no summary.json to report on.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not complete JSON ({error}).") from None
    return content


def read_predictions(output_dir: str | Path, run_id: str) -> tuple[Predictions, Predictions] | None:
    """Labels and predictions of one run over its target's test set; None if not complete.

    Both are classes, or texts where the run translates.
    """
    content = _read_json(Path(output_dir) / "predictions" / f"{run_id}.json")
    if content is None or not {"labels", "predictions"} <= content.keys():
        return None
    labels, predictions = content["labels"], content["predictions"]
    return (labels, predictions) if len(labels) == len(predictions) else None


def read_gates(output_dir: str | Path, run_id: str) -> list[dict[str, Any]] | None:
    """The gates of one run, one entry a site; None if its method has none."""
    content = _read_json(Path(output_dir) / "gates" / f"{run_id}.json")
    return None if content is None else content.get("sites")


def read_gate_history(output_dir: str | Path, run_id: str) -> list[dict[str, Any]]:
    """The means of the gates at every evaluation of a run's training; empty if not kept."""
    content = _read_json(Path(output_dir) / "gates" / f"{run_id}.json")
    return [] if content is None else content.get("through_training") or []


def read_gate_arrays(output_dir: str | Path, run_id: str) -> dict[str, NDArray[Any]] | None:
    """The gates of one run by neuron, step and token, by `site/gate/name`; None if not kept."""
    path = Path(output_dir) / "gates" / f"{run_id}.safetensors"
    if not path.exists():
        return None
    try:
        return load_file(path)
    except SafetensorError:
        logger.warning("%s: not a complete file; left out.", path)
        return None


def cell_key(result: Result) -> tuple[str, str, Size]:
    """What a cell of the table is: source, target and size."""
    return result["source"], result["target"], result["size"]


def order_methods(methods: Iterable[str]) -> list[str]:
    """Without repeats: scratch, frozen, fine_tune, rivals by name, ptu, ptu with companions.

    Example:
        >>> order_methods(["ptu+dann", "ptu", "l2_sp", "fine_tune", "scratch", "ptu"])
        ['scratch', 'fine_tune', 'l2_sp', 'ptu', 'ptu+dann']
    """

    def rank(method: str) -> tuple[int, str]:
        if method in _FIRST:
            return _FIRST.index(method), method
        return len(_FIRST) + is_ptu(method), method

    return sorted(set(methods), key=rank)


def order_sizes(sizes: Iterable[Size]) -> list[Size]:
    """Without repeats, ascending, "all" last.

    Example:
        >>> order_sizes(["all", 2000, 100, 500, 100])
        [100, 500, 2000, 'all']
    """
    return sorted(set(sizes), key=lambda size: (isinstance(size, str), size))


def is_ptu(method: str) -> bool:
    """Whether the method has units: `ptu`, alone or with companions (`ptu+dann`)."""
    return method.split("+")[0] == _LAST


def _is_valid(field: str, value: Any) -> bool:
    """Whether a field of a line is of its kind; a run's id names files, so it must be a name."""
    if field in _MAPPINGS:
        return isinstance(value, dict) and (
            field not in ("parameters", "scores") or all(map(_is_number, value.values()))
        )
    if field in ("score", "validation_score", "steps", "seconds"):
        return _is_number(value)
    if field == "seed" or (field == "size" and not isinstance(value, str)):
        return _is_number(value) and isinstance(value, int)
    if field == "run_id":
        is_name = isinstance(value, str) and Path(value).name == value and "\0" not in value
        return is_name and len(value) <= LONGEST_NAME
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    """Whether it is one that can be calculated with: not infinite, nor of a thousand digits."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        logger.warning("%s: not complete JSON; left out.", path)
        return None
    return content if isinstance(content, dict) else None
