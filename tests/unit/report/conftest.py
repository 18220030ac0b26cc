"""Folders as recipes leave them, made of invented numbers and texts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptu_seq.translation.evaluation import score_translations

ACCURACY = {"scratch": 0.60, "frozen": 0.66, "fine_tune": 0.70, "ptu": 0.76}
SITES = ("embedding", "layer_0", "layer_1")

WORDS = "the a cat dog house sees runs, over under. It's good bad old new small river".split()
REFERENCES = [" ".join(random.Random(i).choices(WORDS, k=8)) for i in range(30)]
#: Share of words that each method gets wrong.
NOISE = {"scratch": 0.5, "frozen": 0.4, "fine_tune": 0.3, "zoph": 0.2, "ptu": 0.1}

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
        rng = np.random.default_rng([seed, len(method), len(target), len(str(size))])
        # The test set is the target's own: the same for every method, size and seed.
        labels = np.random.default_rng(len(target)).integers(0, 2, examples)
        right = rng.random(examples) < (ACCURACY.get(method, 0.68) if score is None else score)
        if score is not None:
            right = np.arange(examples) < round(score * examples)
        result = {
            **_run(method, seed, source, target, size),
            "metric": "accuracy",
            "score": float(right.mean()),
            "validation_score": float(right.mean()) + 0.01,
            **fields,
        }
        guesses = np.where(right, labels, 1 - labels)
        stored = (labels.tolist(), guesses.tolist()) if predictions else None
        return _finish(tmp_path, result, stored)

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


@pytest.fixture
def write_translation(tmp_path: Path) -> WriteRun:
    """Appends one finished run that translates, scored by sacrebleu, to the folder."""

    def write(
        method: str,
        seed: int = 0,
        *,
        source: str = "fr-en",
        target: str = "tl-en",
        size: int | str = 2000,
        metric: str = "bleu",
        references: list[str] = REFERENCES,
        predictions: bool = True,
        **fields: Any,
    ) -> dict[str, Any]:
        translations = _garbled(references, NOISE[method], f"{method} {seed}")
        scores = asdict(score_translations(translations, references))
        signatures = scores.pop("signatures")
        result = {
            **_run(method, seed, source, target, size),
            "metric": metric,
            "score": scores[metric],
            "validation_score": 21.36,
            "scores": scores,
            "signatures": signatures,
            **fields,
        }
        return _finish(tmp_path, result, (references, translations) if predictions else None)

    return write


@pytest.fixture
def translated(tmp_path: Path, write_translation: WriteRun) -> Path:
    """One child, five methods, two seeds."""
    for method in NOISE:
        for seed in range(2):
            write_translation(method, seed)
    return tmp_path


def _run(method: str, seed: int, source: str, target: str, size: int | str) -> dict[str, Any]:
    return {
        "run_id": f"{target}-{size}-{method}-{seed}".replace("/", "_"),
        "method": method,
        "source": source,
        "target": target,
        "size": size,
        "seed": seed,
        "setting": {"learning_rate": 0.001},
        "steps": 300 + 10 * seed,
        "seconds": 9.0,
        "parameters": {"trained": 1200, "total": 3400},
        "config_hash": "0123456789abcdef",
    }


def _finish(
    folder: Path, result: dict[str, Any], stored: tuple[list[Any], list[Any]] | None
) -> dict[str, Any]:
    with (folder / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
    if stored:
        content = dict(zip(("labels", "predictions"), stored, strict=True))
        _dump(folder / "predictions" / f"{result['run_id']}.json", content)
    if result["method"].startswith("ptu"):
        rng = np.random.default_rng(result["seed"])
        sites = [_site(rng, site) for site in SITES]
        _dump(folder / "gates" / f"{result['run_id']}.json", {"sites": sites})
    return result


def _site(rng: np.random.Generator, site: str) -> dict[str, Any]:
    def gate(a: float, b: float) -> dict[str, Any]:
        values = rng.beta(a, b, 2000)
        histogram = np.histogram(values, 20, (0, 1))[0].tolist()
        return {"mean": float(values.mean()), "std": float(values.std()), "histogram": histogram}

    return {"site": site, "fine_tune": gate(2, 5), "update": gate(4, 3 + len(site) % 3)}


def _garbled(texts: list[str], noise: float, seed: str) -> list[str]:
    """The texts with a share of their words replaced at random."""
    draw = random.Random(seed)
    return [
        " ".join(draw.choice(WORDS) if draw.random() < noise else word for word in text.split())
        for text in texts
    ]


def _dump(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
