"""Kills recipes at random moments, begins them again each time, and compares what comes of it.

Every recipe runs on made-up data, with a checkpoint after every step, until it has been killed
(SIGKILL, with all its processes) so many times and has ended by itself in between. Moments are
drawn at random, or are those in which a checkpoint, a run's files or the source activation cache
are being written. After each kill every finished run must still be there, and in the end
results, predictions and gates must be those of a process that was left alone.

    python scripts/kill_check.py --kills 60

It prints a table and ends with 1 if anything differed. Linux and macOS.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ptu_seq.records import read_json, read_lines  # noqa: E402
from tests.tiny import sentences, write_dataset, write_translations  # noqa: E402

#: What all recipes are told: short runs of tiny networks, a checkpoint after every step.
SHORT = {
    "seeds": 2,
    "workers": 1,
    "min_steps": 30,
    "max_steps": 30,
    "evaluations": 3,
    "checkpoint_seconds": 1e-6,
}

#: Fields of a result that tell of the process, not of the run.
OF_THE_PROCESS = ("seconds", "invocation")


@dataclass
class Killed:
    """A recipe that is killed again and again.

    Args:
        name: the recipe's.
        words: its arguments, all but the output folder.
        cache: the folder of the source activation cache, if it has one.
    """

    name: str
    words: list[str]
    cache: Path | None = None
    kills: Counter[str] = field(default_factory=Counter)
    half_written: int = 0
    ends: int = 0
    faults: list[str] = field(default_factory=list)

    def start(self, out: Path) -> subprocess.Popen[bytes]:
        """A process in a group of its own."""
        command = [sys.executable, str(ROOT / "recipes" / f"{self.name}.py"), *self.words]
        return subprocess.Popen(
            [*command, f"--output_dir={out}"],
            stdout=subprocess.DEVNULL,
            stderr=(out.parent / "errors.txt").open("ab"),
            env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
            start_new_session=True,
        )

    def undisturbed(self, out: Path) -> tuple[dict[str, Any], float]:
        """What a process that is left alone comes to, and the seconds that it works."""
        process = self.start(out)
        began = wait_for(lambda: (out / "study.json").exists(), process)
        if process.wait() != 0:
            raise SystemExit(f"{self.name} fails by itself: see {out.parent / 'errors.txt'}")
        return outcome(out), time.monotonic() - began

    def kill_once(self, out: Path, seconds: float, draw: random.Random) -> bool:
        """Starts the recipe and kills it at some moment; whether it ended by itself before."""
        moment = draw.choice(("any", "any", *self.moments(out)))
        before = outcome(out)["results"]
        process = self.start(out)
        began = wait_for(lambda: (out / "study.json").exists(), process)
        until = began + draw.uniform(0, seconds)
        happens = self.moments(out).get(moment, lambda: False)
        # A moment of writing counts from a random time on; if it does not come, any will do.
        while process.poll() is None:
            now = time.monotonic()
            if now >= until and (moment == "any" or happens() or now >= until + seconds):
                break
            time.sleep(0.0002)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.wait() == 0:
            return True
        self.kills[moment] += 1
        time.sleep(0.1)  # until the group is gone
        self.half_written += sum(1 for _ in unfinished_files(out, self.cache))
        after = outcome(out)["results"]
        self.faults += [f"lost {run}" for run, line in before.items() if after.get(run) != line]
        return False

    def moments(self, out: Path) -> dict[str, Callable[[], bool]]:
        """What may be being written, and how that is seen."""
        found: dict[str, Callable[[], bool]] = {
            "checkpoint": lambda: any(out.glob("checkpoints/*/.unfinished*")),
            "results": lambda: any(out.glob("*.part")) or any(out.glob("*/*.part")),
        }
        cache = self.cache
        if cache is not None:
            found["cache"] = lambda: any(cache.glob("*.unfinished"))
        return found


def unfinished_files(out: Path, cache: Path | None) -> Iterator[Path]:
    """What a kill left half written."""
    yield from out.glob("checkpoints/*/.unfinished*")
    yield from out.rglob("*.part")
    if cache is not None:
        yield from cache.glob("*.unfinished")


def wait_for(happens: Callable[[], bool], process: subprocess.Popen[bytes]) -> float:
    """Waits until something happens, or the process ends; the time then."""
    while not happens() and process.poll() is None:
        time.sleep(0.005)
    return time.monotonic()


def outcome(out: Path) -> dict[str, Any]:
    """What must not depend on how it came about."""
    lines = read_lines(out / "results.jsonl")
    results = {
        line["run_id"]: {k: v for k, v in line.items() if k not in OF_THE_PROCESS} for line in lines
    }
    return {
        "results": results,
        "repeated": len(lines) - len(results),
        "predictions": {run: read_json(out / "predictions" / f"{run}.json") for run in results},
        "gates": {path.name: path.read_bytes() for path in sorted(out.glob("gates/*.safetensors"))},
    }


def recipes(folder: Path) -> list[Killed]:
    """The recipes on made-up data in the folder."""
    rows = (sentences(count, seed) for seed, count in enumerate((200, 40, 40, 100, 40, 40)))
    for name in ("books", "films"):
        write_dataset(folder / name, next(rows), next(rows), next(rows))
    write_translations(folder / "parent", "fr", 1)
    write_translations(folder / "child", "tl", 2)
    draw = np.random.default_rng(0)
    for name in ("photos", "drawings"):
        labels = np.arange(300) % 3
        noise = draw.normal(size=(300, 8, 8)) * 40 + labels[:, None, None] * 60 + 60
        np.savez(folder / f"{name}.npz", x=noise.clip(0, 255).astype(np.uint8), y=labels)
    cache = folder / "cache"
    return [
        Killed(
            "sentence_classification",
            arguments(
                folder / "books",
                folder / "films",
                sizes=50,
                methods=["fine_tune", "gradual_unfreezing", "ptu"],
                embedding_size=8,
                hidden_size=8,
                vocab_size=100,
                source_max_steps=30,
                source_cache="disk",
                source_cache_dir=cache,
            ),
            cache,
        ),
        Killed(
            "image_pair",
            arguments(
                folder / "photos.npz",
                folder / "drawings.npz",
                sizes=5,
                methods=["fine_tune", "ptu"],
                width=2,
                image_size=16,
                source_max_steps=30,
            ),
        ),
        Killed(
            "low_resource_mt",
            arguments(
                folder / "parent",
                folder / "child",
                sizes=50,
                methods=["fine_tune", "ptu"],
                target_lang="en",
                embedding_size=8,
                hidden_size=8,
                vocab_size=300,
                max_length=30,
                parent_max_steps=30,
            ),
        ),
    ]


def arguments(source: Path, target: Path, **further: Any) -> list[str]:
    """A recipe's words."""
    given = {"source_dataset": source, "target_datasets": target, **SHORT, **further}
    words = []
    for name, value in given.items():
        values = value if isinstance(value, list) else [value]
        words += [f"--{name}", *map(str, values)]
    return words


def check(killed: Killed, kills: int, folder: Path, draw: random.Random) -> None:
    """Kills a recipe so many times, and notes what was wrong in it."""
    wanted, seconds = killed.undisturbed(folder / "undisturbed")
    out = folder / "killed"
    while killed.kills.total() < kills or out.exists():
        enough = killed.kills.total() >= kills
        if enough:
            if killed.start(out).wait() != 0:
                killed.faults.append("does not end after its last kill")
                return
        elif not killed.kill_once(out, seconds, draw):
            continue
        killed.ends += 1
        ended = outcome(out)
        killed.faults += [f"other {name}" for name in wanted if ended[name] != wanted[name]]
        killed.faults += [f"left {path}" for path in unfinished_files(out, None)]
        if (out / "checkpoints").exists():
            killed.faults.append("left checkpoints")
        shutil.rmtree(out)
        if killed.cache is not None:
            shutil.rmtree(killed.cache, ignore_errors=True)


def main(argv: list[str] | None = None) -> int:
    """Runs the check; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=60, help="of all recipes together")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--recipes", nargs="+", help="some of the recipes alone")
    given = parser.parse_args(argv)
    draw = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        chosen = [
            one
            for one in recipes(Path(folder))
            if given.recipes is None or one.name in given.recipes
        ]
        print(
            f"{'recipe':<24}{'kills':>6}{'of them in writing':>20}{'half-written':>14}{'ends':>6}"
            "  faults",
            flush=True,
        )
        for i, killed in enumerate(chosen):
            share = given.kills // len(chosen) + (i < given.kills % len(chosen))
            place = Path(folder) / f"{killed.name}-runs"
            place.mkdir()
            check(killed, share, place, draw)
            writing = killed.kills.total() - killed.kills["any"]
            print(
                f"{killed.name:<24}{killed.kills.total():>6}{writing:>20}{killed.half_written:>14}"
                f"{killed.ends:>6}  {'; '.join(killed.faults) or 'none'}",
                flush=True,
            )
    return int(any(killed.faults for killed in chosen))


if __name__ == "__main__":
    sys.exit(main())
