"""Whatever a file holds, it is read or refused in a sentence; many more: see `run.py`."""

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from tests.unit.fuzz.check import try_input
from tests.unit.fuzz.readers import READERS, Reader

#: Readers that take so much longer than the quickest are left to `scripts/test --slow`.
SLOW = 100

each_reader = pytest.mark.parametrize(
    "reader",
    [
        pytest.param(one, id=one.name, marks=[pytest.mark.slow] if one.cost >= SLOW else [])
        for one in READERS
    ],
)


@each_reader
def test_every_input_is_read_or_refused(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    examples = max(1, settings().max_examples // reader.cost)

    @settings(max_examples=examples)
    @given(st.data())
    def try_some(data: st.DataObject) -> None:
        try_input(reader, data.draw(reader.inputs()))

    try_some()


@each_reader
def test_valid_files_are_read(reader: Reader) -> None:
    """Else the inputs would not come far."""
    quick = settings(
        max_examples=200, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    find(reader.inputs(), lambda content: try_input(reader, content) == "read", settings=quick)
