"""Keeps one trained model for each target: the best of all runs, over reruns too."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ptu_seq.jobs import Job, Outcome
from ptu_seq.records import read_json, write_json


class BestModels:
    """For each target the model with the best validation score at the largest size.

    That of the first target lies in `folder` itself, that of any other in `folder/TARGET`. A rerun
    that lists the targets in another order moves them.

    Args:
        folder: where the models are kept.
        targets: names of the target data sets, the first one first.
        config_hash: the study's; a model of another study counts for nothing.
    """

    def __init__(self, folder: Path, targets: Sequence[str], config_hash: str) -> None:
        self.config_hash = config_hash
        self._folders = {target: folder / target for target in targets} | {targets[0]: folder}
        self._give_way(folder, targets[0])

    def keep(self, job: Job, outcome: Outcome) -> None:
        """Moves the run's model, if it has one, to its place if it is the best so far."""
        if outcome.model_dir is None:
            return
        made, folder = Path(outcome.model_dir), self._folders[job.cell.target]
        largest = job.cell.size == "all"
        rank = [largest, 0 if largest else job.cell.size, outcome.validation_score]
        best = read_json(folder / "run.json")
        if best.get("config_hash") != self.config_hash or best["rank"] < rank:
            _move_files(made, folder)
            note = {"rank": rank, "config_hash": self.config_hash, "score": outcome.score}
            write_json(folder / "run.json", {**note, **asdict(job)})
        shutil.rmtree(made)

    def _give_way(self, folder: Path, first: str) -> None:
        """Makes room for the first target's model where another one's lies."""
        earlier = read_json(folder / "run.json").get("cell", {}).get("target", first)
        if earlier != first:
            _move_files(folder, folder / earlier)
            if (folder / first).is_dir():
                _move_files(folder / first, folder)
                (folder / first).rmdir()


def _move_files(source: Path, destination: Path) -> None:
    """Moves a model: its files and folders (of tokenizers), but for those of other models."""
    destination.mkdir(parents=True, exist_ok=True)
    for part in list(source.iterdir()):
        if part == destination or (part / "run.json").exists():
            continue
        place = destination / part.name
        if place.is_dir():
            shutil.rmtree(place)
        part.replace(place)
