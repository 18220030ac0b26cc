"""An interrupted training that goes on ends as one that was never interrupted, to the bit."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ptu_seq.checkpoints import Checkpoints
from tests.unit.resuming import (
    EPOCH,
    EVERY,
    KINDS,
    STEPS,
    Stopped,
    image,
    stopped,
    text,
    translation,
)

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="kernels on a GPU may round otherwise each time"
)


@pytest.fixture(autouse=True, scope="module")
def quick_garbage_collection() -> Iterator[None]:
    """Trainer collects garbage before it trains, which is to pass over all that was imported."""
    gc.freeze()
    yield
    gc.unfreeze()


#: Of these steps the last one before is the first, one in an epoch, its last, and one at whose end
#: there is an evaluation.
FEW = (EPOCH + 1, EVERY * 2 + 1)
MANY = (1, 2, 4, *FEW, STEPS)

CASES = [
    ("text", "ptu", MANY),
    ("text", "gradual_unfreezing", FEW),
    ("text", "ptu+dann", FEW),
    ("image", "dann", FEW),
    ("translation", "ptu", FEW),
    ("translation", "dann", FEW),
    *(
        pytest.param(kind, name, stops, marks=pytest.mark.slow)
        for kind, names, stops in (
            ("text", ("l2_sp", "distillation", "cross_stitch", "lp_ft"), FEW),
            ("image", ("fine_tune", "ptu", "distillation", "l2_sp"), FEW),
            ("translation", ("l2_sp", "gradual_unfreezing", "distillation"), FEW),
            ("image", ("gradual_unfreezing",), MANY),
            ("translation", ("cross_stitch",), MANY),
        )
        for name in names
    ),
]


@pytest.mark.parametrize(("kind", "name", "stops"), CASES)
def test_goes_on_as_if_nothing_had_been(
    kind: str, name: str, stops: tuple[int, ...], tmp_path: Path
):
    run = KINDS[kind](name)
    expected = run(None, None)
    assert expected.taken == list(range(1, STEPS + 1))
    ended = stopped(run, Checkpoints(tmp_path / "run", identity=name), stops)
    # The step at which it was stopped is the first one that is done again.
    assert ended.taken == list(range(stops[-1], STEPS + 1))
    assert ended.is_like(expected)


@pytest.mark.parametrize(
    "changed",
    [
        {"schedule": "plateau", "patience": 2},
        {"schedule": "inverse_sqrt", "average_checkpoints": 1, "gradient_accumulation_steps": 1},
    ],
    ids=str,
)
def test_every_schedule_goes_on(changed: dict[str, Any], tmp_path: Path):
    run = translation("fine_tune", warmup_ratio=0.5, **changed)
    ended = stopped(run, Checkpoints(tmp_path / "run", identity=0), (2, 4, 7))
    assert ended.is_like(run(None, None))


def test_patience_goes_on_counting(tmp_path: Path):
    # Nothing is learned at a rate of 0, so the score never rises.
    run = text("fine_tune", patience=2, evaluations=STEPS, warmup_ratio=1.0, min_steps=10**4)
    expected = run(None, None)
    ended = stopped(run, Checkpoints(tmp_path / "run", identity=0), (2,))
    assert ended.is_like(expected)


@pytest.mark.slow
def test_any_steps(tmp_path: Path):
    run = image("ptu", gradient_accumulation_steps=1)
    stops = sorted(random.Random(0).sample(range(1, STEPS + 1), 5))
    ended = stopped(run, Checkpoints(tmp_path / "run", identity=0), stops)
    assert ended.is_like(run(None, None)), stops


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_that_had_ended_is_not_done_again(kind: str, tmp_path: Path):
    run, checkpoints = KINDS[kind]("ptu"), Checkpoints(tmp_path / "run", identity=0)
    first = run(checkpoints, None)
    again = run(Checkpoints(tmp_path / "run", identity=0), None)
    assert (again.taken, again.trained) == ([], first.trained)
    assert again.is_like(first)


def test_seconds_before_the_interruption_count(tmp_path: Path):
    run = text("fine_tune")
    ended = stopped(run, Checkpoints(tmp_path / "run", identity=0), (STEPS,))
    assert ended.taken == [STEPS]
    alone = run(None, None)
    assert ended.trained.seconds > alone.trained.seconds / 2


@pytest.mark.parametrize("seconds", [0, 1e6])
def test_short_trainings_write_nothing(seconds: float, tmp_path: Path):
    checkpoints = Checkpoints(tmp_path / "run", identity=0)
    text("fine_tune", checkpoint_seconds=seconds)(checkpoints, None)
    assert not checkpoints.folder.exists()


@pytest.mark.parametrize("other", ["identity", "rate", "start"])
def test_checkpoints_of_another_training_are_not_used(
    other: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with pytest.raises(Stopped):
        text("fine_tune")(Checkpoints(tmp_path, identity=1), 5)
    name = "scratch" if other == "start" else "fine_tune"
    run = text(name, weight_decay=0.1 if other == "rate" else 0.0)
    ended = run(Checkpoints(tmp_path, identity=2 if other == "identity" else 1), None)
    assert ended.taken == list(range(1, STEPS + 1))
    assert ended.is_like(run(None, None))
    (warning,) = caplog.messages
    assert warning.startswith(f"The checkpoints in {tmp_path} are of a training with other setti")
