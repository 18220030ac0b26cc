"""What the tests of sentence classification share: small data sets, and a study on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptu_seq.records import read_lines
from recipes.sentence_classification import main
from tests.tiny import OTHER, sentences, write_dataset

SMALL = """
workers: 1
seeds: 1
embedding_size: 16
hidden_size: 16
vocab_size: 120
max_length: 16
batch_size: 16
min_steps: 40
max_steps: 40
evaluations: 4
source_learning_rate: 0.01
source_max_steps: 120
"""


def write_data(folder: Path) -> Path:
    """Data sets about good and bad books, films and songs, of one vocabulary."""
    (folder / "small.yaml").write_text(SMALL)
    of_networks = ("embedding_size", "hidden_size", "vocab_size")
    lines = [line for line in SMALL.splitlines() if not line.startswith(of_networks)]
    (folder / "encoder.yaml").write_text("\n".join(lines))
    for i, (name, topic) in enumerate(
        {"books": OTHER, "films": OTHER[10:], "songs": OTHER[5:15]}.items()
    ):
        train, validation, test = (
            sentences(count, 10 * i + j, topic) for j, count in enumerate((300, 60, 80))
        )
        write_dataset(folder / name, train, validation, test)
    return folder


def run(
    data: Path, output_dir: Path, *words: str, targets: str = "films", config: str = "small"
) -> None:
    main(
        [
            str(data / f"{config}.yaml"),
            f"--source_dataset={data / 'books'}",
            "--target_datasets",
            *(str(data / target) for target in targets.split()),
            "--sizes",
            "60",
            f"--output_dir={output_dir}",
            *words,
        ]
    )


def results(folder: Path) -> list[dict[str, Any]]:
    return read_lines(folder / "results.jsonl")
