"""What is run, what is kept, and what a rerun does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from ptu_seq.environment import environment
from ptu_seq.errors import UserError
from ptu_seq.gate_summary import GateSummary
from ptu_seq.jobs import TUNING_SEED, Cell, Job, Outcome, Setting, Size
from ptu_seq.records import read_json, read_lines
from ptu_seq.study import Study

GRIDS: dict[str, list[Setting]] = {
    "frozen": [{"rate": 0.1}],
    "ptu": [{"rate": 0.1}, {"rate": 0.2}, {"rate": 0.3}],
}
# The best of ptu's settings, and a tie that the first wins.
VALIDATION = {0.1: 0.5, 0.2: 0.9, 0.3: 0.9}

GATES = GateSummary(
    [{"site": "rnn"}],
    {"rnn/update/neuron_mean": np.array([0.25, 0.5], np.float32)},
    [{"step": 3, "sites": [{"site": "rnn", "update": 0.5, "fine_tune": 0.25}]}],
)

Start = Callable[..., Study]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    def start(**configuration: Any) -> Study:
        return Study(tmp_path / "out", "toy", "imdb", {"units": configuration or {"level": "step"}})

    return start


def cells(
    targets: Sequence[str] = ("trec",),
    sizes: Sequence[Size] = (100,),
    methods: Sequence[str] = ("frozen", "ptu"),
) -> list[Cell]:
    return [
        Cell(target, size, method) for target in targets for size in sizes for method in methods
    ]


class FakeRunner:
    """Notes the jobs it is given; is interrupted before job number `stop`."""

    def __init__(self, stop: int | None = None) -> None:
        self.jobs: list[Job] = []
        self.stop = stop

    def __call__(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        for job in jobs:
            if len(self.jobs) == self.stop:
                raise KeyboardInterrupt
            self.jobs.append(job)
            outcome = Outcome(VALIDATION[job.setting["rate"]], 7, 0.123, {"trained": 1, "total": 2})
            if not job.is_tuning:
                gates = GATES if job.cell.method == "ptu" else None
                outcome = Outcome(
                    0.5, 7, 0.123, {"trained": 1, "total": 2}, 0.25, [0, 1], [1, 1], gates
                )
            yield job, outcome


def run(study: Study, wanted: Sequence[Cell], seeds: int = 1, stop: int | None = None) -> list[Job]:
    """The jobs that were done."""
    runner = FakeRunner(stop)
    study.run(wanted, GRIDS, range(seeds), runner, lambda job, outcome: None)
    return runner.jobs


def places(jobs: Sequence[Job]) -> list[tuple[str, Size, str, int]]:
    return [(job.cell.target, job.cell.size, job.cell.method, job.seed) for job in jobs]


def test_tunes_then_runs_with_the_first_of_the_best_settings(start: Start):
    jobs = run(start(), cells(), seeds=2)
    tuning = [job for job in jobs if job.is_tuning]
    runs = jobs[len(tuning) :]
    assert places(tuning) == [("trec", 100, "ptu", TUNING_SEED)] * 3
    assert [job.setting for job in tuning] == GRIDS["ptu"]
    assert places(runs) == [("trec", 100, m, s) for s in (0, 1) for m in ("frozen", "ptu")]
    assert {job.cell.method: job.setting for job in runs} == {
        "frozen": {"rate": 0.1},
        "ptu": {"rate": 0.2},
    }


def test_a_run_leaves_its_line_and_files(start: Start):
    study = start()
    run(study, cells())
    line = read_lines(study.output_dir / "results.jsonl")[1]
    assert line == {
        "run_id": line["run_id"],
        "method": "ptu",
        "source": "imdb",
        "target": "trec",
        "size": 100,
        "seed": 0,
        "metric": "accuracy",
        "score": 0.25,
        "validation_score": 0.5,
        "setting": {"rate": 0.2},
        "steps": 7,
        "seconds": 0.12,
        "parameters": {"trained": 1, "total": 2},
        "config_hash": study.config_hash,
        "invocation": line["invocation"],
    }
    predictions = read_json(study.output_dir / "predictions" / f"{line['run_id']}.json")
    assert predictions == {"labels": [0, 1], "predictions": [1, 1]}
    gates = sorted((study.output_dir / "gates").iterdir())
    assert [path.name for path in gates] == [
        f"{line['run_id']}.{kind}" for kind in ("json", "safetensors")
    ]
    assert read_json(gates[0]) == {
        "version": 1,
        "sites": GATES.sites,
        "through_training": GATES.through_training,
    }
    assert load_file(gates[1])["rnn/update/neuron_mean"].tolist() == [0.25, 0.5]


def test_a_run_tells_the_arguments_and_the_environment_of_its_process(tmp_path: Path):
    def told(seeds: int) -> tuple[Any, Any]:
        study = Study(tmp_path / "out", "toy", "imdb", {}, {"seeds": seeds, "methods": ["frozen"]})
        run(study, cells(methods=["frozen"]), seeds)
        note = read_json(study.output_dir / "study.json")
        mark = read_lines(study.output_dir / "results.jsonl")[-1]["invocation"]
        return note["invocations"][mark], list(note["invocations"])

    first, marks = told(seeds=1)
    assert first["arguments"] == {"seeds": 1, "methods": ["frozen"]}
    assert first["environment"] == environment()
    assert told(seeds=1) == (first, marks)
    second, both = told(seeds=3)
    assert second["arguments"]["seeds"] == 3
    assert both[:1] == marks and len(both) == 2
    assert told(seeds=2)[1] == both  # which had nothing to do


def test_a_run_that_translates_leaves_texts_and_further_fields(start: Start):
    details = {"scores": {"bleu": 21.5, "chrf": 48.0}, "signatures": {"bleu": "tok:13a"}}
    outcome = Outcome(
        20.0,
        7,
        0.123,
        {"trained": 1, "total": 2},
        score=21.5,
        labels=["A caf\u00e9."],
        predictions=["A cafe\u0301."],
        metric="bleu",
        details=details,
    )
    study = start()
    study.run(
        cells(methods=["frozen"]),
        GRIDS,
        range(1),
        lambda jobs: ((job, outcome) for job in jobs),
        lambda job, outcome: None,
    )
    (line,) = read_lines(study.output_dir / "results.jsonl")
    assert (line["metric"], line["score"], line["validation_score"]) == ("bleu", 21.5, 20.0)
    assert {name: line[name] for name in details} == details
    predictions = read_json(study.output_dir / "predictions" / f"{line['run_id']}.json")
    assert predictions == {"labels": ["A caf\u00e9."], "predictions": ["A cafe\u0301."]}


def test_a_rerun_does_only_what_is_missing(start: Start):
    run(start(), cells(), seeds=2)
    assert run(start(), cells(), seeds=2) == []
    assert places(run(start(), cells(), seeds=3)) == [
        ("trec", 100, "frozen", 2),
        ("trec", 100, "ptu", 2),
    ]
    added = run(start(), cells(targets=("trec", "mr"), sizes=(100, "all"), methods=("frozen",)))
    assert places(added) == [
        ("trec", "all", "frozen", 0),
        ("mr", 100, "frozen", 0),
        ("mr", "all", "frozen", 0),
    ]


def test_finished_cells_are_not_tuned_again(start: Start):
    study = start()
    run(study, cells())
    (study.output_dir / "tuning.jsonl").unlink()
    assert run(start(), cells()) == []
    assert [job.is_tuning for job in run(start(), cells(), seeds=2)] == [True] * 3 + [False] * 2


@pytest.mark.parametrize("stop", range(7))
def test_nothing_finished_is_lost_or_repeated_after_an_interruption(start: Start, stop: int):
    wanted = cells(sizes=(100, "all"))[:3]  # 3 tuning jobs and 2 runs, then 1 run
    runner = FakeRunner(stop)
    try:
        start().run(wanted, GRIDS, range(1), runner, lambda job, outcome: None)
    except KeyboardInterrupt:
        pass
    rest = run(start(), wanted)
    assert len(runner.jobs) == min(stop, 6)
    everything = [*runner.jobs, *rest]
    assert len(everything) == 6
    assert len({str(job) for job in everything}) == 6
    lines = read_lines(start().output_dir / "results.jsonl")
    assert len({line["run_id"] for line in lines}) == len(lines) == 3


@pytest.mark.parametrize("name", ["results.jsonl", "tuning.jsonl"])
@pytest.mark.parametrize("cut", [2, 20])
def test_a_line_cut_off_is_done_again(start: Start, name: str, cut: int):
    study = start()
    run(study, cells(targets=("caf\u00e9",)))
    path = study.output_dir / name
    path.write_bytes(path.read_bytes()[:-cut])
    again = run(start(), cells(targets=("caf\u00e9",)), seeds=2)
    assert len(again) == 3
    assert len(read_lines(path)) == {"results.jsonl": 4, "tuning.jsonl": 3}[name]


def test_a_job_is_handed_over_before_it_counts_as_finished(start: Start):
    study = start()

    def on_end(job: Job, outcome: Outcome) -> None:
        if not job.is_tuning:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.run(cells(), GRIDS, range(1), FakeRunner(), on_end)
    assert read_lines(study.output_dir / "results.jsonl") == []


def test_results_of_another_configuration_are_refused_by_what_differs(start: Start, tmp_path: Path):
    run(start(level="step", sites=["rnn"]), cells())
    with pytest.raises(UserError, match=r"\(level was step, now layer\): choose another --output"):
        start(level="layer", sites=["rnn"])
    with pytest.raises(UserError, match="source was imdb, now mr"):
        Study(tmp_path / "out", "toy", "mr", {"units": {"level": "step", "sites": ["rnn"]}})
    assert run(start(level="step", sites=["rnn"]), cells()) == []


@pytest.mark.parametrize(
    ("name", "field"),
    [("results.jsonl", "metric"), ("results.jsonl", "config_hash"), ("tuning.jsonl", "setting")],
)
def test_results_of_an_older_format_are_refused(start: Start, name: str, field: str):
    study = start()
    run(study, cells())
    path = study.output_dir / name
    lines = [{k: v for k, v in line.items() if k != field} for line in read_lines(path)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    message = rf"{name}, line 1, is of an older format, without {field}: choose another"
    with pytest.raises(UserError, match=message):
        start()


def test_a_configuration_without_results_may_change(start: Start):
    start(level="step").check_data({"imdb": "1"})
    start(level="layer").check_data({"imdb": "2"})
    assert run(start(level="layer"), cells()) != []


def test_data_that_changed_are_refused(start: Start):
    study = start()
    study.check_data({"imdb": "1", "trec": "2"})
    run(study, cells())
    start().check_data({"imdb": "1", "mr": "3"})
    start().check_data({"imdb": "1", "trec": "2"})
    with pytest.raises(UserError, match="the data set trec is not the one"):
        start().check_data({"imdb": "1", "trec": "9"})
    with pytest.raises(UserError, match="the data set mr is not the one"):
        start().check_data({"imdb": "1", "mr": "9"})


@pytest.mark.parametrize("inside", [".", "deeper"])
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, inside: str):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="--output_dir .* cannot be written"):
        Study(tmp_path / "file" / inside, "toy", "imdb", {})


def test_runs_have_names_of_their_own(start: Start):
    study = start()
    wanted = cells(targets=("a", "b"), sizes=(1, 11, "all"))
    ids = {study.run_id(Job(cell, {}, seed)) for cell in wanted for seed in (0, 1)}
    assert len(ids) == 2 * len(wanted)
    assert all("/" not in name for name in ids)
