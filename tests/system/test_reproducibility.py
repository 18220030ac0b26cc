"""The same job gives the same numbers, to the bit, in any process and whatever ran there before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RELEASE = ROOT / "tests" / "fixtures" / "v0.1"

#: Does the runs of a recipe in a new process, and prints a hash of every outcome.
PROGRAM = """
import hashlib, json, random, sys
from pathlib import Path

import numpy
import torch

from ptu_seq.jobs import Cell, Job
from ptu_seq.recipe_files import load_recipe
from ptu_seq.runner import JobRunner


class Hashed:
    '''Outcomes by what they say and by the weights that they leave.'''

    def __init__(self, jobs):
        self.jobs = jobs

    def __call__(self, job):
        outcome = self.jobs(job)
        gates = outcome.gates and {k: v.tobytes().hex() for k, v in outcome.gates.arrays.items()}
        said = [outcome.score, outcome.validation_score, outcome.steps, outcome.details, gates]
        content = json.dumps([*said, outcome.predictions], sort_keys=True).encode()
        if outcome.model_dir:
            content += (Path(outcome.model_dir) / "model.safetensors").read_bytes()
        return hashlib.sha256(content).hexdigest()


def conduct(experiment):
    (cell,) = experiment.cells
    setting = experiment.plan.grids[cell.method][0]
    job = Job(cell, setting, 0)
    before = [Job(cell, setting, seed) for seed in range(1, 1 + others)]
    with JobRunner(Hashed(experiment.jobs), workers) as runner:
        done = {job.seed: said for job, said in runner([*before, job])}
    print("hash", done[0])


if __name__ == "__main__":
    recipe, output_dir, workers, others, *words = sys.argv[1:]
    workers, others = int(workers), int(others)
    for seed in (random.seed, numpy.random.seed, torch.manual_seed):
        seed(others)  # whatever state is left by what ran before
    load_recipe(recipe).main([*words, f"--output_dir={output_dir}"], conduct)
"""

WAYS = {
    # workers, jobs before, PYTHONHASHSEED
    "alone": (1, 0, "1"),
    "after and beside others": (2, 2, "2"),
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["sentence_classification", "image_pair", "low_resource_mt"])
def test_a_job_gives_the_same_bits_in_every_process(recipe: str, tmp_path: Path):
    # The source network is trained on as many threads as torch has, which may round otherwise.
    words = json.loads((RELEASE / "results" / recipe / "words.json").read_text("utf-8"))
    (tmp_path / "jobs.py").write_text(PROGRAM)
    hashes = {}
    for number, (way, (workers, others, hash_seed)) in enumerate(WAYS.items()):
        arguments = [recipe, tmp_path / str(number), workers, others, *words]
        done = subprocess.run(
            [sys.executable, tmp_path / "jobs.py", *map(str, arguments), "--methods", "ptu+dann"],
            cwd=RELEASE,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        hashes[way] = next(x for x in done.stdout.splitlines() if x.startswith("hash"))
    assert len(set(hashes.values())) == 1, hashes
