"""The source activation cache: what a frozen network makes of a fixed set, kept for later runs."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import platform
import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from huggingface_hub import constants
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ptu_seq.activation_table import (
    GROUP,
    ActivationTable,
    Lender,
    compute_table,
    table_bytes,
)
from ptu_seq.batches import Row
from ptu_seq.ranges import Checked, Range

logger = logging.getLogger("ptu_seq")

#: Changes whenever files of before are to be read no more.
FORMAT = 1

#: Seconds after which a file that is still unfinished is what a killed process left.
ABANDONED = 24 * 3600

_LENGTHS = ".lengths"
_OWN = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class SourceCache:
    """Where the activations of frozen networks are kept, so that each is computed once.

    A set of examples is a file of its own in the safetensors format, which is memory-mapped when it
    is read. Its name is a hash of the network, of every example's tokens and of what computes them.
    It appears when it is complete, whatever other processes do, and stays until room is needed and
    no file has been unused for longer.

    In memory or in a file the activations are the same, to the bit.

    Args:
        limit: bytes, of all files together (processes that write at once may go beyond it for a
            while). What needs more by itself is not computed beforehand at all.
        folder: where the files are; None keeps each set in memory, for one run.
        dtype: what the activations are kept in; half precision takes half the room, and rounds.

    Example:
        >>> from ptu_seq.models import RNNConfig, RNNForSequenceClassification
        >>> from ptu_seq.models.lending import LendsHidden
        >>> source = RNNForSequenceClassification(RNNConfig(vocab_size=50, hidden_size=16))
        >>> examples = [{"input_ids": torch.tensor([7, 8, 9])}, {"input_ids": torch.tensor([4])}]
        >>> table = SourceCache(limit=2**20).table(LendsHidden(source), examples)
        >>> {name: tensor.shape for name, tensor in table[0].items()}
        {'source_hidden': torch.Size([3, 16]), 'source_pooled': torch.Size([16])}
    """

    limit: int
    folder: Path | None = None
    dtype: torch.dtype = torch.float32

    def table(self, lender: Lender, examples: Sequence[Row]) -> ActivationTable | None:
        """What a frozen network makes of examples: computed, or read; None if it is too large.

        Args:
            lender: the network and what is kept of it.
            examples: tokenised examples.
        """
        if self.limit == 0:
            return None
        size = table_bytes(lender, examples, self.dtype)
        if size > self.limit:
            _tell_once(
                f"the source's activations of {len(examples)} examples would take "
                f"{_readable(size)}, more than the {_readable(self.limit)} of --source_cache_gib: "
                "the source is run at every step."
            )
            return None
        if self.folder is None:
            return compute_table(lender, examples, self.dtype)
        path = self.folder / f"{_key(lender, examples, self.dtype)}.safetensors"
        return _read(path) or self._write(path, lender, examples, size)

    def _write(
        self, path: Path, lender: Lender, examples: Sequence[Row], size: int
    ) -> ActivationTable:
        """Computes a table and keeps it; where the disk does not take it, it stays in memory."""
        table = compute_table(lender, examples, self.dtype)
        lengths = {f"{n}{_LENGTHS}": torch.tensor(own) for n, own in table.lengths.items()}
        print(f"Source cache: writing {_readable(size)}, {len(examples)} examples, to {path}.")
        unfinished = path.with_name(f"{uuid.uuid4().hex}.unfinished")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            make_room(path.parent, self.limit - size)
            save_file({**table.columns, **lengths}, unfinished)
            unfinished.replace(path)
        except (OSError, SafetensorError) as error:
            _tell_once(
                f"the source's activations are not kept, as {path.parent} cannot be written "
                f"({error})."
            )
            return table
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink()
        return _read(path) or table


def make_room(folder: Path, limit: int) -> None:
    """Removes files until at most `limit` bytes are left, those first that were not used longest.

    Unfinished files of processes that died go as well. A file that another process has open stays
    readable there; one that another process removes at the same time is no error.
    """
    found = []
    for path in folder.iterdir():
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if not _OWN.fullmatch(path.stem):  # the folder may hold more than a cache
            continue
        if path.suffix == ".safetensors":
            found.append((status.st_mtime_ns, status.st_size, path))
        elif path.suffix == ".unfinished" and time.time() - status.st_mtime > ABANDONED:
            path.unlink(missing_ok=True)
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit:
            break
        path.unlink(missing_ok=True)
        total -= size


def _read(path: Path) -> ActivationTable | None:
    """A table that is kept, memory-mapped; None if there is none that can be read."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError):
        return None
    with contextlib.suppress(OSError):  # the folder may be another's
        os.utime(path)  # used now
    lengths = {n.removesuffix(_LENGTHS): t for n, t in tensors.items() if n.endswith(_LENGTHS)}
    if not all(_fit(tensors.get(name), own) for name, own in lengths.items()):
        return None
    return ActivationTable(
        {name: tensors[name] for name in lengths}, {n: t.tolist() for n, t in lengths.items()}
    )


def _fit(column: torch.Tensor | None, lengths: torch.Tensor) -> bool:
    """Whether a column has as many rows as its examples have together."""
    if column is None or column.ndim == 0 or lengths.ndim != 1 or lengths.is_floating_point():
        return False
    return bool((lengths >= 0).all()) and len(column) == int(lengths.sum())


def _key(lender: Lender, examples: Sequence[Row], dtype: torch.dtype) -> str:
    """Names a table: 32 hexadecimal digits, other ones wherever an activation could differ."""
    device = next(lender.network.parameters()).device
    processor = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    )
    computed_by = f"{torch.__version__} {processor} {torch.get_num_threads()} threads"
    digest = hashlib.sha256(f"{FORMAT} {GROUP} {dtype} {computed_by}".encode())
    digest.update(lender.fingerprint().encode())
    for row in examples:
        for name, tensor in sorted(row.items()):
            if name != "labels":
                digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
                digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:32]


def _readable(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


@dataclass
class SourceCacheArguments(Checked):
    """What is frozen is run once over the examples."""

    _argument_group_name: ClassVar[str] = "source activation cache"

    source_cache: str = field(
        default="memory",
        metadata={
            "help": "where the activations of frozen networks are kept: in memory, computed once a "
            "run, or on disk, for further runs too; results are the same to the bit",
            "choices": ["memory", "disk"],
        },
    )
    source_cache_gib: Annotated[float, Range(0)] = field(
        default=1.0,
        metadata={
            "help": "gibibytes that are kept at most: on disk of all runs, in memory of each set "
            "in each worker process; networks are run at every step where a set needs more, which "
            "rounds differently. 0: always"
        },
    )
    source_cache_dtype: str = field(
        default="float32",
        metadata={
            "help": "what they are kept in; half precision needs half the room, and rounds",
            "choices": ["float32", "float16", "bfloat16"],
        },
    )
    source_cache_dir: str = field(
        default="",
        metadata={
            "help": "folder on disk; by default ptu_seq in Hugging Face's cache of assets "
            "(HF_HOME or HF_ASSETS_CACHE say where)"
        },
    )

    def cache(self) -> SourceCache:
        """The cache that these arguments ask for."""
        # As `cached_assets_path` has it, which would make the folder, wanted and writable or not.
        own = Path(constants.HF_ASSETS_CACHE, "ptu_seq", "activations", "default")
        return SourceCache(
            limit=int(self.source_cache_gib * 2**30),
            folder=Path(self.source_cache_dir or own) if self.source_cache == "disk" else None,
            dtype=getattr(torch, self.source_cache_dtype),
        )


@functools.cache
def _tell_once(message: str) -> None:
    logger.warning(message)
