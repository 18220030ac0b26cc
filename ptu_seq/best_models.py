"""Keeps one trained model for each target: the best of all runs, over reruns too."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ptu_seq.collapse_report import REPORT, UNFINISHED
from ptu_seq.jobs import Job, Outcome, file_name
from ptu_seq.model_card import FILE, is_users_card
from ptu_seq.records import read_json, write_json


class BestModels:
    """For each target the model with the best validation score at the largest size.

    That of the first target lies in `folder` itself, that of any other in `folder/TARGET` (with
    `_` for what no file name may hold, such as `/`). A rerun that lists the targets in another
    order moves them.

    Args:
        folder: where the models are kept.
        targets: names of the target data sets, the first one first.
        config_hash: the study's; a model of another study counts for nothing.
    """

    def __init__(self, folder: Path, targets: Sequence[str], config_hash: str) -> None:
        self.config_hash = config_hash
        self._folders = {t: folder / file_name(t) for t in targets} | {targets[0]: folder}
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
            _remove_model(folder)
            _move_files(made, folder)
            note = {"rank": rank, "config_hash": self.config_hash, "score": outcome.score}
            write_json(folder / "run.json", {**note, **asdict(job)})
        shutil.rmtree(made)

    def _give_way(self, folder: Path, first: str) -> None:
        """Makes room for the first target's model where another one's lies."""
        earlier = read_json(folder / "run.json").get("cell", {}).get("target", first)
        if earlier == first:
            return
        _move_files(folder, folder / file_name(earlier))
        own = folder / file_name(first)
        if own.is_dir():
            _move_files(own, folder)
            own.rmdir()


def _move_files(source: Path, destination: Path) -> None:
    """Moves a model's files and folders."""
    destination.mkdir(parents=True, exist_ok=True)
    for part in _parts(source):
        place = destination / part.name
        if part == destination or (part.name == FILE and is_users_card(place)):
            continue
        if place.is_dir():
            shutil.rmtree(place)
        part.replace(place)


def _remove_model(folder: Path) -> None:
    """Removes a model, first the note that says that there is one; a user's card is left."""
    (folder / "run.json").unlink(missing_ok=True)
    for part in _parts(folder):
        if part.is_dir():
            shutil.rmtree(part)
        elif not (part.name == FILE and is_users_card(part)):
            part.unlink()


def _parts(folder: Path) -> list[Path]:
    """A model's files and folders (of tokenizers), without the folders of other models.

    Another target's model may lie there, and what `ptu-seq collapse` made of one.
    """
    parts = folder.iterdir() if folder.is_dir() else ()
    return [
        part
        for part in parts
        if not ((part / "run.json").exists() or (part / REPORT).exists())
        and not part.name.startswith(UNFINISHED)
    ]
