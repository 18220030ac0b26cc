"""Which model is kept, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from ptu_seq.best_models import BestModels
from ptu_seq.jobs import Cell, Job, Outcome, Size


class Kept:
    """Offers runs, each with a model that holds its name, and tells which ones were kept."""

    def __init__(self, root: Path, targets: list[str], config_hash: str = "h") -> None:
        self.root = root
        self.models = BestModels(root / "model", targets, config_hash)

    def offer(self, name: str, size: Size, score: float, target: str = "a") -> None:
        made = self.root / "made" / name
        made.mkdir(parents=True)
        (made / "weights").write_text(name)
        job = Job(Cell(target, size, "ptu"), {}, 0)
        self.models.keep(job, Outcome(score, 1, 1.0, {}, model_dir=str(made)))
        assert not made.exists()

    def held(self, folder: str = ".") -> str:
        return (self.root / "model" / folder / "weights").read_text()


@pytest.mark.parametrize(
    ("runs", "best"),
    [
        ([("1", 100, 0.7), ("2", 100, 0.8), ("3", 100, 0.6)], "2"),
        ([("1", 100, 0.7), ("2", 100, 0.7)], "1"),
        ([("1", 100, 0.9), ("2", 500, 0.6)], "2"),
        ([("1", 500, 0.6), ("2", 100, 0.9)], "1"),
        ([("1", 2000, 0.9), ("2", "all", 0.1), ("3", 5000, 0.9)], "2"),
        ([("1", "all", 0.1), ("2", "all", 0.2)], "2"),
    ],
)
def test_the_largest_size_counts_first_then_the_validation_score(tmp_path, runs, best):
    kept = Kept(tmp_path, ["a"])
    for run in runs:
        kept.offer(*run)
    assert kept.held() == best


def test_a_later_study_with_lower_scores_changes_nothing(tmp_path):
    Kept(tmp_path, ["a"]).offer("1", 100, 0.8)
    again = Kept(tmp_path, ["a"])
    again.offer("2", 100, 0.7)
    assert again.held() == "1"
    again.offer("3", 100, 0.9)
    assert again.held() == "3"


def test_a_model_of_another_configuration_counts_for_nothing(tmp_path):
    Kept(tmp_path, ["a"], "old").offer("1", "all", 0.9)
    again = Kept(tmp_path, ["a"], "new")
    again.offer("2", 100, 0.1)
    assert again.held() == "2"


def test_other_targets_have_folders_of_their_own(tmp_path):
    kept = Kept(tmp_path, ["a", "b", "glue/c"])
    for target in ("a", "b", "glue/c"):
        kept.offer(f"of {target}", 100, 0.5, target)
    assert [kept.held(folder) for folder in (".", "b", "glue_c")] == ["of a", "of b", "of glue/c"]


def test_models_move_when_another_target_comes_first(tmp_path):
    kept = Kept(tmp_path, ["a", "x/b:c"])
    kept.offer("of a", 100, 0.5, "a")
    kept.offer("of b", 100, 0.5, "x/b:c")
    again = Kept(tmp_path, ["x/b:c", "a"])
    assert (again.held(), again.held("a")) == ("of b", "of a")
    again.offer("worse", 100, 0.4, "a")
    again.offer("better", 100, 0.6, "x/b:c")
    assert (again.held(), again.held("a")) == ("better", "of a")
    third = Kept(tmp_path, ["c", "a", "x/b:c"])
    assert (third.held("a"), third.held("x_b_c")) == ("of a", "better")
    assert not (tmp_path / "model" / "weights").exists()


def test_a_better_model_leaves_nothing_of_the_one_before(tmp_path):
    kept = Kept(tmp_path, ["a", "b"])
    kept.offer("of b", 100, 0.5, "b")
    kept.offer("of a", 100, 0.5)
    (tmp_path / "model" / "source_tokenizer").mkdir()  # as separate vocabularies have it
    (tmp_path / "model" / "source_tokenizer" / "tokenizer.json").write_text("{}")
    kept.offer("better", 100, 0.6)
    held = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert (kept.held(), held) == ("better", ["b", "run.json", "weights"])


def test_runs_without_a_model_are_passed_over(tmp_path):
    kept = Kept(tmp_path, ["a"])
    kept.models.keep(Job(Cell("a", 100, "frozen"), {}, 0), Outcome(0.5, 1, 1.0, {}))
    assert not (tmp_path / "model").exists()


def test_a_card_of_the_users_outlives_the_model(tmp_path):
    kept = Kept(tmp_path, ["a"])
    kept.offer("1", 100, 0.5)
    (tmp_path / "model" / "README.md").write_text("mine")
    kept.offer("2", 100, 0.6)
    assert kept.held() == "2"
    assert (tmp_path / "model" / "README.md").read_text() == "mine"


def test_what_was_collapsed_beside_another_targets_model_stays(tmp_path):
    kept = Kept(tmp_path, ["a", "b"])
    kept.offer("1", 100, 0.8)
    kept.offer("2", 100, 0.8, target="b")
    collapsed = tmp_path / "model" / "b-collapsed"
    collapsed.mkdir()
    (collapsed / "collapse.json").write_text("{}")
    kept.offer("3", 100, 0.9)
    assert kept.held() == "3" and kept.held("b") == "2"
    assert (collapsed / "collapse.json").exists()
