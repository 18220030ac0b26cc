"""Checkpoints of trainings on disk: written whole or not at all, and verified when they are read.

A checkpoint is a folder of `state.json`, `tensors.safetensors`, whatever text is to lie beside
them, and `manifest.json`: the SHA-256 of each and what training they are of. Nothing in it is ever
unpickled.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load, save_file
from torch import Tensor

from ptu_seq.jobs import Job
from ptu_seq.records import content_digest, read_json, to_disk, write_json

logger = logging.getLogger("ptu_seq")

#: What a training consists of: dictionaries, lists, numbers, texts, None and tensors.
State = Any

#: So many of a training's checkpoints are kept.
KEPT = 2

MANIFEST, STATE, TENSORS = "manifest.json", "state.json", "tensors.safetensors"
_TENSOR = "__tensor__"
_UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class CheckpointStore:
    """Where a study keeps the checkpoints of its trainings, a folder a training.

    Args:
        folder: of all of them.
        source: the source's name.
        config_hash: of the study.
        data: digests of the data sets' contents, by name.
    """

    folder: Path
    source: str
    config_hash: str
    data: Mapping[str, str]

    def of(self, name: str, identity: Any) -> Checkpoints:
        """The checkpoints of a training.

        Args:
            name: of its folder.
            identity: JSON-like, of what decides its numbers.
        """
        return Checkpoints(self.folder / name, identity)

    def of_job(self, job: Job) -> Checkpoints:
        """The checkpoints of a job's training."""
        data = [self.data.get(name) for name in (self.source, job.cell.target)]
        return self.of(job.file_name, [self.config_hash, self.source, data, asdict(job)])

    def remove(self, name: str) -> None:
        """Removes a training's checkpoints, and the store with the last of them."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def clear(self) -> None:
        """Removes all of them."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and found whole.

    Args:
        path: its folder.
        step: optimisation steps before it.
        is_finished: whether the training had ended.
        state: what was written; tensors are on the CPU.
    """

    path: Path
    step: int
    is_finished: bool
    state: State


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training: the last two of them.

    Args:
        folder: theirs alone.
        identity: JSON-like, of what decides the training's numbers; those of another are not read.

    Example:
        >>> import tempfile
        >>> import torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     checkpoints = Checkpoints(Path(folder) / "run", identity={"seed": 0})
        ...     _ = checkpoints.write(7, {"weights": [torch.ones(2)], "patience": 1})
        ...     checkpoints.read_last().state
        {'weights': [tensor([1., 1.])], 'patience': 1}
    """

    folder: Path
    identity: Any
    _good: list[Path] = field(default_factory=list, init=False, compare=False, repr=False)

    @property
    def last_good(self) -> Path | None:
        """The folder of the last one that this process has written or found whole."""
        return self._good[-1] if self._good else None

    def write(
        self,
        step: int,
        state: State,
        texts: Mapping[str, str] | None = None,
        *,
        is_finished: bool = False,
    ) -> Path:
        """Writes a checkpoint, and removes all but the last two.

        Args:
            step: optimisation steps before it.
            state: all that the training needs to go on.
            texts: further files by name.
            is_finished: whether the training has ended.

        Returns:
            Its folder.
        """
        place = self.folder / f"step-{step:09d}{'-finished' if is_finished else ''}"
        unfinished = self.folder / _UNFINISHED
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        tensors: dict[str, Tensor] = {}
        content = json.dumps(_without_tensors(state, "state", tensors))
        save_file(tensors, unfinished / TENSORS)
        for name, text in {STATE: content, **(texts or {})}.items():
            (unfinished / name).write_text(text, "utf-8")
        files = sorted(unfinished.iterdir())
        for path in files:  # or a loss of power could harm this one and the one before
            to_disk(path)
        manifest = {
            "identity": content_digest(self.identity),
            "step": step,
            "is_finished": is_finished,
            "sha256": {path.name: _sha256(path) for path in files},
        }
        write_json(unfinished / MANIFEST, {**manifest, "digest": content_digest(manifest)})
        if place.exists():  # a damaged one, before which this training has gone back
            shutil.rmtree(place)
        unfinished.rename(place)
        self._good[:] = [path for path in [*self._good, place] if path.exists()][-KEPT:]
        for path in self.folder.glob("step-*"):
            if path not in self._good:
                shutil.rmtree(path)
        return place

    def read_last(self) -> Checkpoint | None:
        """The last checkpoint that is whole; a warning names those that are not."""
        paths = sorted(self.folder.glob("step-*"), reverse=True)
        damaged: list[str] = []
        found = None
        for path in paths:
            try:
                found = self._read(path)
            except _DamagedError as error:
                damaged.append(f"{path} is damaged ({error})")
                continue
            break
        if damaged:
            then = "begins anew" if found is None else f"goes on from {found.path.name} before it"
            logger.warning("The checkpoint %s; training %s.", ", ".join(damaged), then)
        elif found is None and paths:
            logger.warning(
                "The checkpoints in %s are of a training with other settings, data, versions of "
                "libraries or kind of device; training begins anew.",
                self.folder,
            )
        if found is not None:
            self._good[:] = [found.path]
        return found

    def _read(self, path: Path) -> Checkpoint | None:
        """A checkpoint, or None if it is of another training.

        Raises:
            _DamagedError: if it is not as it was written.
        """
        manifest = read_json(path / MANIFEST)
        if not manifest:
            raise _DamagedError(f"{MANIFEST} cannot be read")
        if manifest.pop("digest", None) != content_digest(manifest):
            raise _DamagedError(f"{MANIFEST} has changed")
        if manifest["identity"] != content_digest(self.identity):
            return None
        for name, wanted in manifest["sha256"].items():
            if not (path / name).is_file():
                raise _DamagedError(f"{name} is missing")
            if _sha256(path / name) != wanted:
                raise _DamagedError(f"{name} has changed")
        content = json.loads((path / STATE).read_text("utf-8"))
        tensors = load((path / TENSORS).read_bytes())
        state = _with_tensors(content, tensors)
        return Checkpoint(path, manifest["step"], manifest["is_finished"], state)


class _DamagedError(Exception):
    """Says what is wrong with a checkpoint."""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _without_tensors(value: State, name: str, tensors: dict[str, Tensor]) -> Any:
    """What JSON can hold of a state; its tensors go into `tensors`."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous()
        return {_TENSOR: name}
    if isinstance(value, Mapping):
        return {key: _without_tensors(one, f"{name}/{key}", tensors) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(one, f"{name}/{i}", tensors) for i, one in enumerate(value)]
    return value


def _with_tensors(value: Any, tensors: Mapping[str, Tensor]) -> State:
    """Undoes :func:`_without_tensors`."""
    if isinstance(value, dict):
        if value.keys() == {_TENSOR}:
            return tensors[value[_TENSOR]]
        return {key: _with_tensors(one, tensors) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_tensors(one, tensors) for one in value]
    return value
