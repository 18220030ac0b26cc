"""What a run tells of its gates, and the files it is kept in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ptu_seq.gate_history import GateHistory
from ptu_seq.gate_statistics import GateStatistics, Spell
from ptu_seq.records import write_arrays, write_json

#: Of the files; files without one have "sites" alone.
VERSION = 1


@dataclass(frozen=True)
class GateSummary:
    """The gates of a trained model on test examples, and their means while it was trained.

    Args:
        sites: see :meth:`~ptu_seq.gate_statistics.GateStatistics.as_records`.
        arrays: see :meth:`~ptu_seq.gate_statistics.GateStatistics.arrays`.
        through_training: see :class:`~ptu_seq.gate_history.GateHistory`.
    """

    sites: Sequence[Mapping[str, Any]]
    arrays: Mapping[str, NDArray[Any]]
    through_training: Sequence[Mapping[str, Any]]

    @classmethod
    def of(
        cls, statistics: GateStatistics, history: GateHistory | None, spell: Spell | None = None
    ) -> GateSummary:
        """What statistics and history hold; `spell` tells tokens as text, where there are any."""
        through_training = history.records if history else []
        return cls(statistics.as_records(spell), statistics.arrays(), through_training)

    def write(self, folder: Path, run_id: str) -> None:
        """Writes `<run_id>.safetensors` and `<run_id>.json`, each whole or not at all."""
        write_arrays(folder / f"{run_id}.safetensors", self.arrays)
        content = {
            "version": VERSION,
            "sites": self.sites,
            "through_training": self.through_training,
        }
        write_json(folder / f"{run_id}.json", content)
