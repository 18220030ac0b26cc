"""What may become of an input: it is read, or refused in one sentence."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Literal

from ptu_seq.errors import UserError
from tests.unit.fuzz.readers import Reader

#: Characters of a message, at most, with those that cannot be printed written out.
LONGEST = 10_000


def try_input(reader: Reader, content: bytes) -> Literal["read", "refused"]:
    """Has a reader read content in a new folder; whatever else it raises is an error of ours.

    Raises:
        AssertionError: if what is said is no sentence.
    """
    logging.disable()
    try:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            reader.read(Path(folder), content)
    except UserError as error:
        said = str(error)
        assert said and "\n" not in said.strip() and len(said) < LONGEST, said[:LONGEST]
        return "refused"
    except SystemExit as error:  # argparse, which has said why
        assert error.code == 2
        return "refused"
    finally:
        logging.disable(logging.NOTSET)
    return "read"
