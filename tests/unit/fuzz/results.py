"""The folder that a recipe leaves, as small as can be, by file."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

RUN = "toys-100-ptu-0"


@cache
def results() -> dict[str, bytes]:
    """The files' contents."""
    runs = [_run(method, seed) for method in ("scratch", "ptu") for seed in (0, 1)]
    predictions = {"labels": [0, 1] * 5, "predictions": [0, 1, 1, 0, 0] * 2}
    lines = [
        {**_cell("layer_search"), "setting": {"frozen": f, "tuned": t}, "validation_score": 0.5}
        for f, t in ((0, 0), (1, 0), (0, 1))
    ]
    settings = {"recipe": "sentence_classification", "configuration": {"network": {"size": 8}}}
    return {
        "results.jsonl": _lines(runs),
        "tuning.jsonl": _lines(lines),
        "study.json": json.dumps(settings).encode(),
        "summary.json": json.dumps({**settings, "command": "python recipe.py"}).encode(),
        **{f"predictions/{run['run_id']}.json": json.dumps(predictions).encode() for run in runs},
        f"gates/{RUN}.json": json.dumps(_gates()).encode(),
        f"gates/{RUN}.safetensors": save(_arrays()),
    }


def write_results(folder: Path, changed: str, content: bytes) -> None:
    """Writes them all, one of them with other content."""
    for name, valid in {**results(), changed: content}.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(valid if name != changed else content)


def _cell(method: str) -> dict[str, Any]:
    return {"method": method, "source": "films", "target": "toys", "size": 100}


def _run(method: str, seed: int) -> dict[str, Any]:
    return {
        **_cell(method),
        "run_id": f"toys-100-{method}-{seed}",
        "seed": seed,
        "metric": "accuracy",
        "score": 0.5 + seed / 10 + len(method) / 100,
        "validation_score": 0.6,
        "setting": {"learning_rate": 0.001},
        "steps": 300,
        "seconds": 9.0,
        "parameters": {"trained": 1200, "total": 3400},
        "config_hash": "0123456789abcdef",
    }


def _gates() -> dict[str, Any]:
    gate = {"mean": 0.5, "std": 0.1, "histogram": [0, 5, 5, 0]}
    shares = {"target": 0.5, "kept": 0.25, "retuned": 0.25}
    tokens = {"most_source": [{"token": "a", "mean": 0.9, "count": 6}], "least_source": []}
    site = {"site": "rnn", "fine_tune": gate, "update": gate, "shares": shares, "tokens": tokens}
    means = [{"site": "rnn", "update": 0.5, "fine_tune": 0.5}]
    return {
        "sites": [site],
        "through_training": [{"step": step, "sites": means} for step in (0, 10)],
    }


def _arrays() -> dict[str, np.ndarray]:
    half = np.full(3, 0.5, np.float32)
    return {
        f"rnn/{gate}/{name}": np.full(3, 9) if name == "step_count" else half
        for gate in ("update", "fine_tune")
        for name in ("neuron_mean", "step_mean", "step_count")
    }


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
