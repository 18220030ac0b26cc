"""Scores and tests of translations are sacrebleu's own."""

import json
import random
import subprocess
import sys
from typing import Any, cast, get_args

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

from ptu_seq.translation.evaluation import (
    MetricName,
    compare_runs,
    compare_translations,
    corpus_score,
    score_translations,
)

WORDS = "the a cat dog house sees runs, over under. It's good bad old new small river".split()


def corpus(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(5, 12))) for _ in range(count)]


def garbled(texts: list[str], share: float, seed: int) -> list[str]:
    """The texts with some words replaced at random."""
    draw = random.Random(seed)
    return [
        " ".join(draw.choice(WORDS) if draw.random() < share else word for word in text.split())
        for text in texts
    ]


REFERENCES = corpus(60)
GOOD, FAIR, POOR = (garbled(REFERENCES, share, i) for i, share in enumerate((0.1, 0.15, 0.5)))


def test_scores_and_signatures_are_those_of_the_command_line(tmp_path):
    for name, texts in (("references", REFERENCES), ("good", GOOD)):
        (tmp_path / name).write_text("\n".join(texts) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", "references", "-i", "good"]
    printed = subprocess.run(
        [*command, "-m", "bleu", "chrf", "ter", "-w", "8"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    scores = score_translations(GOOD, REFERENCES)
    for metric, entry in zip(get_args(MetricName), json.loads(printed), strict=True):
        assert getattr(scores, metric) == pytest.approx(entry["score"], abs=1e-7)
        assert scores.signatures[metric] == entry["signature"]
        assert corpus_score(metric, GOOD, REFERENCES) == getattr(scores, metric)


@pytest.mark.parametrize(("name", "metric"), [("bleu", BLEU), ("chrf", CHRF)])
def test_the_paired_bootstrap_is_sacrebleus(name, metric):
    signatures, columns = PairedTest(
        [("good", GOOD), ("fair", FAIR), ("poor", POOR)],
        {"metric": metric()},
        [REFERENCES],
        test_type="bs",
        n_samples=200,
    )()
    (column,) = signatures
    good, *others = cast(list[Any], columns[column])
    compared = compare_translations(
        REFERENCES, GOOD, {"fair": FAIR, "poor": POOR}, metric=name, resamples=200
    )
    assert list(compared) == ["fair", "poor"]
    for result, expected in zip(compared.values(), others, strict=True):
        assert result.p_value == expected.p_value
        assert result.difference == good.score - expected.score
        assert result.signature == str(signatures[column])
        low, high = result.interval
        assert low < good.mean - expected.mean < high
    assert compared["poor"].p_value < 0.05
    assert compared["poor"].interval[0] > 0


def test_a_system_does_not_differ_from_itself():
    result = compare_translations(REFERENCES, GOOD, {"same": GOOD}, resamples=100)["same"]
    assert (result.difference, result.p_value, result.interval) == (0, 1, (0, 0))
    assert compare_runs(REFERENCES, [GOOD], [GOOD], resamples=100) == result


def test_turned_around_only_the_sign_changes():
    reverse = compare_translations(REFERENCES, POOR, {"good": GOOD}, resamples=100)["good"]
    forward = compare_translations(REFERENCES, GOOD, {"poor": POOR}, resamples=100)["poor"]
    assert reverse.difference == -forward.difference
    assert reverse.p_value == forward.p_value
    assert reverse.interval == pytest.approx([-end for end in forward.interval[::-1]])


@pytest.mark.parametrize("metric", ["bleu", "ter"])
def test_runs_of_one_seed_compare_as_single_systems(metric):
    single = compare_translations(REFERENCES, GOOD, {"fair": FAIR}, metric=metric, resamples=200)[
        "fair"
    ]
    runs = compare_runs(REFERENCES, [GOOD], [FAIR], metric=metric, resamples=200)
    assert runs == single


def test_several_seeds_are_averaged_over_the_same_sentences():
    result = compare_runs(REFERENCES, [GOOD, FAIR], [FAIR, POOR, POOR], resamples=200)
    bleu = [corpus_score("bleu", texts, REFERENCES) for texts in (GOOD, FAIR, POOR)]
    expected = (bleu[0] + bleu[1]) / 2 - (bleu[1] + 2 * bleu[2]) / 3
    assert result.difference == pytest.approx(expected)
    assert result.interval[0] < result.difference < result.interval[1]
    assert result.p_value == 1 / 201
    # A seed repeated adds nothing to what is known of the test sentences.
    twice = compare_runs(REFERENCES, [GOOD, GOOD], [FAIR, FAIR], resamples=200)
    once = compare_runs(REFERENCES, [GOOD], [FAIR], resamples=200)
    assert twice.p_value == once.p_value
    np.testing.assert_allclose(twice.interval, once.interval)


def test_numbers_of_sentences_must_agree():
    with pytest.raises(ValueError, match="59 translations and 60 references"):
        score_translations(GOOD[1:], REFERENCES)
    with pytest.raises(ValueError, match="0 translations and 0 references"):
        score_translations([], [])
    with pytest.raises(ValueError, match="1 translations and 60 references"):
        compare_translations(REFERENCES, GOOD, {"short": ["a"]})
    with pytest.raises(ValueError, match="metric is 'meteor'; accepted are bleu, chrf, ter"):
        corpus_score("meteor", GOOD, REFERENCES)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one run"):
        compare_runs(REFERENCES, [], [GOOD])
    assert compare_translations(REFERENCES, GOOD, {}) == {}
