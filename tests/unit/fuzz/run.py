"""Many inputs for every reader, counted: `python -m tests.unit.fuzz.run --inputs 20000`.

Each reader is a process of its own with so much more memory than it began with at most. An input
passes that is read, or refused as a user is told of a mistake, in bounded time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import datasets
from hypothesis import HealthCheck, Phase, given, seed, settings
from transformers.utils import logging

from tests.unit.fuzz.check import try_input
from tests.unit.fuzz.readers import READERS, Reader

#: Bytes of address space beyond those at the start.
MEMORY = 2**30


def fuzz(reader: Reader, inputs: int, first: int) -> dict[str, Any]:
    """Tries inputs, and tells what became of them."""
    told: dict[str, Any] = {"reader": reader.name, "read": 0, "refused": 0, "failed": []}
    slowest = 0.0

    @seed(first)
    @settings(
        max_examples=inputs,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(reader.inputs())
    def try_one(content: bytes) -> None:
        nonlocal slowest
        start = time.process_time()
        try:
            told[try_input(reader, content)] += 1
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            line = f"{type(error).__name__}: {str(error)[:200]} ({where.filename}:{where.lineno})"
            told["failed"].append([line, repr(content[:300])])
        slowest = max(slowest, time.process_time() - start)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try_one()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {**told, "slowest_seconds": round(slowest, 2), "grown_mib": grown // 1024}


def _in_child(reader: Reader, inputs: int, first: int) -> dict[str, Any]:
    """The same in a process of limited memory, whose death is told."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        os.write(theirs, json.dumps(fuzz(reader, inputs, first)).encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as file:
        said = file.read()
    _, status = os.waitpid(child, 0)
    died = {"reader": reader.name, "read": 0, "refused": 0, "failed": [[f"died: {status}", ""]]}
    return json.loads(said) if said else {**died, "slowest_seconds": 0, "grown_mib": 0}


def main() -> None:
    """Prints a line a reader, and ends with 1 if an input failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000, help="of the quickest readers")
    parser.add_argument("--least", type=int, default=100, help="of the slowest")
    parser.add_argument("--readers", nargs="*", help="names, or how they begin (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    total, failed = 0, 0
    for reader in READERS:
        if wanted.readers and not reader.name.startswith(tuple(wanted.readers)):
            continue
        told = _in_child(reader, max(wanted.least, wanted.inputs // reader.cost), wanted.seed)
        count = told["read"] + told["refused"] + len(told["failed"])
        total, failed = total + count, failed + len(told["failed"])
        print(json.dumps({"inputs": count, **told}), flush=True)
    print(f"{total} inputs, {failed} failed", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
