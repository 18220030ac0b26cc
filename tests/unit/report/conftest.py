"""A folder as a recipe leaves it, made of invented numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ACCURACY = {"scratch": 0.60, "frozen": 0.66, "fine_tune": 0.70, "ptu": 0.76}
SITES = ("embedding", "layer_0", "layer_1")

WriteRun = Callable[..., dict[str, Any]]


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Appends one finished run, with predictions and (for ptu) gates, to the folder."""

    def write(
        method: str,
        seed: int = 0,
        *,
        source: str = "imdb",
        target: str = "rotten_tomatoes",
        size: int | str = 100,
        score: float | None = None,
        examples: int = 400,
        predictions: bool = True,
        **fields: Any,
    ) -> dict[str, Any]:
        run_id = f"{target}-{size}-{method}-{seed}".replace("/", "_")
        rng = np.random.default_rng([seed, len(method), len(target), len(str(size))])
        # The test set is the target's own: the same for every method, size and seed.
        labels = np.random.default_rng(len(target)).integers(0, 2, examples)
        right = rng.random(examples) < (ACCURACY.get(method, 0.68) if score is None else score)
        if score is not None:
            right = np.arange(examples) < round(score * examples)
        result = {
            "run_id": run_id,
            "method": method,
            "source": source,
            "target": target,
            "size": size,
            "seed": seed,
            "metric": "accuracy",
            "score": float(right.mean()),
            "validation_score": float(right.mean()) + 0.01,
            "setting": {"learning_rate": 0.001},
            "steps": 300 + 10 * seed,
            "seconds": 9.0,
            "parameters": {"trained": 1200, "total": 3400},
            "config_hash": "0123456789abcdef",
            **fields,
        }
        with (tmp_path / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
        if predictions:
            guesses = np.where(right, labels, 1 - labels)
            _dump(
                tmp_path / "predictions" / f"{run_id}.json",
                {"labels": labels.tolist(), "predictions": guesses.tolist()},
            )
        if method.startswith("ptu"):
            sites = [_site(rng, site) for site in SITES]
            _dump(tmp_path / "gates" / f"{run_id}.json", {"sites": sites})
        return result

    return write


@pytest.fixture
def full_run(tmp_path: Path, write_run: WriteRun) -> Path:
    """Two targets, two sizes, four methods, three seeds."""
    for target in ("rotten_tomatoes", "trec"):
        for size in (100, "all"):
            for method in ACCURACY:
                for seed in range(3):
                    write_run(method, seed, target=target, size=size)
    return tmp_path


def _site(rng: np.random.Generator, site: str) -> dict[str, Any]:
    def gate(a: float, b: float) -> dict[str, Any]:
        values = rng.beta(a, b, 2000)
        histogram = np.histogram(values, 20, (0, 1))[0].tolist()
        return {"mean": float(values.mean()), "std": float(values.std()), "histogram": histogram}

    return {"site": site, "fine_tune": gate(2, 5), "update": gate(4, 3 + len(site) % 3)}


def _dump(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
