"""What studies call their jobs' files."""

from __future__ import annotations

import pytest

from ptu_seq.jobs import TUNING_SEED, Cell, Job

CELL = Cell("bible:tl-en", 100, "ptu")


@pytest.mark.parametrize(
    ("seed", "name"),
    [(3, "bible_tl-en-100-ptu-3"), (TUNING_SEED, "bible_tl-en-100-ptu-source-0.01-0.0--3.0")],
)
def test_the_names_of_files_are_plain(seed, name):
    setting = {"init": "source", "learning_rate": 0.01, "bias": {"embedding": 0.0, "rnn": -3.0}}
    assert Job(CELL, setting, seed).file_name == name
