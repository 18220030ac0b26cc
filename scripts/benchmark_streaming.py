"""Measures the memory that reading, tokenising and batching a streamed data set takes.

    python scripts/benchmark_streaming.py                     # 100,000 and 1,000,000 rows
    python scripts/benchmark_streaming.py --rows 1000 9000 --tasks translation

Writes JSON lines of made-up words into a temporary folder (about 0.2 GB for a million rows), and
for each number of rows, in a process of its own, opens them as a recipe does with --streaming,
trains the vocabulary on the sample, and takes every batch of one epoch. Printed are the largest
resident memory, and how it compares with that for the fewest rows, which at most may be 1.05.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

#: The most that memory may grow from the fewest rows to the most.
BAR = 1.05

TASKS = ("classification", "translation")
BUFFER = 10_000


def write_rows(path: Path, rows: int, task: str) -> None:
    """Writes rows of 5 to 40 made-up words; texts hardly ever repeat."""
    draw = random.Random(0)
    syllables = [a + b for a in "bdfgklmnprstv" for b in "aeiou"]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(20_000)]
    with path.open("w") as file:
        for i in range(rows):
            text = " ".join(draw.choices(words, k=draw.randint(5, 40)))
            row = (
                {"text": text, "label": i % 2}
                if task == "classification"
                else {"translation": {"xx": text[::-1], "en": text}}
            )
            file.write(json.dumps(row) + "\n")


def read_classification(path: str) -> tuple[int, int]:
    """Takes an epoch of batches of texts; the rows and the batches that there were."""
    from ptu_seq.batches import stream_batches
    from ptu_seq.data import train_tokenizer
    from ptu_seq.data.streams import stream_classification

    opened = stream_classification(path)
    tokenizer = train_tokenizer(opened.dataset.train["text"], 8000)
    stream = stream_batches(opened.rows, ("text",), tokenizer, 256, 32, buffer=BUFFER, seed=0)
    return _first_epoch(stream)


def read_translation(path: str) -> tuple[int, int]:
    """Takes an epoch of batches of pairs; the rows and the batches that there were."""
    from functools import partial

    from ptu_seq.data import TokenizerPair, train_vocabulary
    from ptu_seq.data.pair_filters import learnable
    from ptu_seq.data.streams import stream_translation
    from ptu_seq.data.translation_rows import Pair
    from ptu_seq.translation.batches import stream_batches

    opened = stream_translation(path, "xx", "en")
    sample = opened.dataset.train
    tokenizers = TokenizerPair(
        *(train_vocabulary(sample[side][:], 4000) for side in ("source", "target"))
    )
    pairs = list(map(Pair, sample["source"][:], sample["target"][:]))
    keep = partial(learnable, max_length=100)
    return _first_epoch(
        stream_batches(opened.rows, pairs, tokenizers, keep, 2048, buffer=BUFFER, seed=0)
    )


def _first_epoch(stream: Any) -> tuple[int, int]:
    rows = batches = 0
    for batch in stream:
        if stream.state_dict()["block"]["epoch"]:
            break
        rows += len(batch["labels"])
        batches += 1
    return rows, batches


def measure(task: str, path: str) -> None:
    """Reads an epoch and prints what it took, as JSON."""
    began = time.perf_counter()
    rows, batches = {"classification": read_classification, "translation": read_translation}[task](
        path
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts kibibytes
    seconds = time.perf_counter() - began
    print(json.dumps({"rows": rows, "batches": batches, "peak": peak, "seconds": seconds}))


def compare(task: str, sizes: list[int]) -> float:
    """Prints a line for each number of rows; how the last one's memory compares with the first."""
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            path = Path(folder) / "rows.jsonl"
            write_rows(path, size, task)
            done = subprocess.run(
                [sys.executable, __file__, "--measure", task, str(path)],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            found = json.loads(done.stdout.splitlines()[-1])
            peaks.append(found["peak"])
            print(
                f"{task:<14} {size:>9,} {path.stat().st_size / 2**20:>8.0f} {found['rows']:>9,} "
                f"{found['batches']:>8,} {found['peak'] / 2**20:>9.0f} "
                f"{peaks[-1] / peaks[0]:>6.3f} {found['seconds']:>7.0f}",
                flush=True,
            )
    return peaks[-1] / peaks[0]


def main() -> None:
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(*arguments.measure)
        return
    print("task                rows file MiB   learned  batches  peak MiB  ratio seconds")
    worst = max(compare(task, arguments.rows) for task in arguments.tasks)
    print(f"Memory grows by a factor of {worst:.3f}; the bar is {BAR}.")
    sys.exit(worst > BAR)


if __name__ == "__main__":
    main()
