"""The scripts of benchmarks as modules; those beside them are found as when they are run."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from ptu_seq.data import TokenizerPair, TranslationDataset, train_vocabulary
from tests.tiny import translations

SCRIPTS = Path(__file__).parents[3] / "scripts"


@pytest.fixture(scope="module")
def load_script() -> Iterator[Callable[[str], Any]]:
    """Imports a script by its name; nothing of it stays."""
    before = set(sys.modules)
    sys.path.insert(0, str(SCRIPTS))
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(SCRIPTS))
        for name in set(sys.modules) - before:
            if name.partition(".")[0].startswith(("benchmark_", "translation_peers")):
                del sys.modules[name]


@pytest.fixture(scope="module")
def dataset() -> TranslationDataset:
    rows = [row["translation"] for row in translations(90, seed=3)]
    columns = {"source": [r["tl"] for r in rows], "target": [r["en"] for r in rows]}
    train, validation, test = (
        Dataset.from_dict({name: column[start:end] for name, column in columns.items()})
        for start, end in ((0, 60), (60, 80), (80, 90))
    )
    return TranslationDataset("tiny", train, validation, test, "tl", "en")


@pytest.fixture(scope="module")
def tokenizers(dataset: TranslationDataset) -> TokenizerPair:
    source, target = (
        train_vocabulary(dataset.train[side][:], 300, max_length=20)
        for side in ("source", "target")
    )
    return TokenizerPair(source, target)
