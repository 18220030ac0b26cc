"""Formats of what is kept on disk: numbers by which a reader knows what it cannot read yet.

The `config.json` of a model and the `study.json` of a results folder hold, under "ptu_seq", the
number of their format, the version that wrote them and the oldest version that can read them. The
first files had none, which counts as format 0. A format's number rises when files are written that
an older version would misread; a field that it can do without needs no new number.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ptu_seq import __version__
from ptu_seq.errors import UserError
from ptu_seq.records import read_json

#: Where a file tells its format.
KEY = "ptu_seq"


class Format(NamedTuple):
    """A kind of file as this version writes it.

    Attributes:
        number: of the format; this version reads all up to it.
        needs: the oldest version that reads it.
    """

    number: int
    needs: str

    def stamp(self) -> dict[str, Any]:
        """What a file says of its format."""
        return {"format": self.number, "version": __version__, "needs": self.needs}

    def refusal(self, content: Mapping[str, Any]) -> str | None:
        """Why this version cannot read a file, as the end of a sentence; None if it can.

        Args:
            content: the file's.

        Example:
            >>> content = {"ptu_seq": {"format": 7, "version": "3.1.0", "needs": "3.0.0"}}
            >>> Format(6, "2.0.0").refusal(content)
            'was written by ptu-seq 3.1.0 in a format that this version (...) cannot read; it needs
             ptu-seq 3.0.0 or newer'
        """
        stamp = content.get(KEY)
        if not isinstance(stamp, Mapping) or stamp.get("format", 0) in range(self.number + 1):
            return None
        return (
            f"was written by ptu-seq {stamp.get('version', '(unknown)')} in a format that this "
            f"version ({__version__}) cannot read; it needs ptu-seq "
            f"{stamp.get('needs', '(unknown)')} or newer"
        )


#: A saved model: its configuration and its weights' names.
MODEL = Format(1, needs="0.1.0")

#: A recipe's output folder, and that of a study of many experiments.
RESULTS = Format(1, needs="0.1.0")


def check_results(folder: Path) -> None:
    """Checks that a results folder, if it is one, can be read by this version.

    Raises:
        UserError: if it was written by a newer version in a format of its own.
    """
    for name in ("study.json", "experiments.json"):
        refusal = RESULTS.refusal(read_json(folder / name))
        if refusal is not None:
            raise UserError(f"{folder}: its {name} {refusal}.")
