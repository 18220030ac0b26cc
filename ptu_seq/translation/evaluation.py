"""Translation metrics and their significance, all of them sacrebleu's.

Scores are taken on detokenised text and go with the signature that lets others reproduce them.
Two translators are compared by sacrebleu's paired bootstrap (Koehn 2004): would their difference
hold on other test sentences? Where each was trained with several seeds, :func:`compare_runs` asks
the same of the mean over seeds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.metrics.base import Metric
from sacrebleu.significance import PairedTest, Result

MetricName = Literal["bleu", "chrf", "ter"]

_METRICS: dict[str, Callable[[], Metric]] = {"bleu": BLEU, "chrf": CHRF, "ter": TER}


@dataclass(frozen=True)
class TranslationScores:
    """Corpus scores of one translator, from 0 to 100 (TER may exceed it, and lower is better).

    Args:
        bleu: BLEU with sacrebleu's own tokenisation, on text as a person would read it.
        chrf: chrF2, the F-score of character n-grams.
        ter: translation edit rate.
        signatures: what each score depends on, by "bleu", "chrf", "ter".
    """

    bleu: float
    chrf: float
    ter: float
    signatures: dict[str, str]


@dataclass(frozen=True)
class TranslationComparison:
    """One translator against another on the same sentences.

    Args:
        difference: the score of the first less that of the second.
        p_value: of sacrebleu's paired bootstrap: how often a resample's absolute difference, less
            its mean over resamples, exceeds the observed one. It is 1 where no resample shows any
            difference (sacrebleu, which counts strictly, gives its smallest p there).
        interval: 95% interval of the difference over the same resamples of the test sentences.
        signature: the metric's, with the seed and number of resamples.
    """

    difference: float
    p_value: float
    interval: tuple[float, float]
    signature: str


def score_translations(translations: Sequence[str], references: Sequence[str]) -> TranslationScores:
    """BLEU, chrF and TER of a corpus, as the command `sacrebleu -m bleu chrf ter` gives them.

    Args:
        translations: detokenised text, a sentence each.
        references: the reference of each.

    Raises:
        ValueError: if their numbers differ or there are none.

    Example:
        >>> scores = score_translations(["It is a cat."], ["It is a cat."])
        >>> round(scores.bleu), scores.signatures["bleu"].partition("|version")[0]
        (100, 'nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp')
    """
    _check(translations, references)
    scores, signatures = {}, {}
    for name, make in _METRICS.items():
        metric = make()
        scores[name] = float(metric.corpus_score(translations, [references]).score)
        signatures[name] = str(metric.get_signature())
    return TranslationScores(**scores, signatures=signatures)


def corpus_score(
    metric: MetricName, translations: Sequence[str], references: Sequence[str]
) -> float:
    """One metric alone, see :func:`score_translations`."""
    _check(translations, references)
    return float(_make(metric).corpus_score(translations, [references]).score)


def signature_of(metric: MetricName) -> str:
    """A metric's signature, for texts with one reference each."""
    scorer = _make(metric)
    scorer.corpus_score(["a"], [["a"]])  # from which it learns the number of references
    return str(scorer.get_signature())


def compare_translations(
    references: Sequence[str],
    translations: Sequence[str],
    others: Mapping[str, Sequence[str]],
    *,
    metric: MetricName = "bleu",
    resamples: int = 1000,
) -> dict[str, TranslationComparison]:
    """One translator against every other, by sacrebleu's paired bootstrap.

    Args:
        references: the reference of each sentence.
        translations: by the translator that is compared to all others.
        others: translations of the same sentences by others, by name.
        metric: "bleu", "chrf" or "ter".
        resamples: how many bootstrap samples. Their seed is sacrebleu's (environment variable
            SACREBLEU_SEED, 12345 by default), so the same texts give the same numbers.

    Returns:
        A comparison for each of the others.

    Raises:
        ValueError: if the numbers of sentences differ or there are none.
    """
    for texts in (translations, *others.values()):
        _check(texts, references)
    if not others:
        return {}
    # Names are sacrebleu's table column alone; numbered, they cannot clash with ours.
    systems: list[tuple[str, Sequence[str]]] = [
        (str(i), list(texts)) for i, texts in enumerate((translations, *others.values()))
    ]
    signatures, columns = PairedTest(
        systems, {metric: _make(metric)}, [list(references)], test_type="bs", n_samples=resamples
    )()
    (column,) = signatures
    baseline, *results = cast(list[Result], columns[column])
    samples = _Resamples(references, metric, resamples)
    own = samples.scores(translations)
    comparisons = {}
    for (name, texts), result in zip(others.items(), results, strict=True):
        differences = own - samples.scores(texts)
        comparisons[name] = TranslationComparison(
            difference=float(baseline.score - result.score),
            p_value=cast(float, result.p_value) if differences.any() else 1.0,
            interval=_interval(differences),
            signature=str(signatures[column]),
        )
    return comparisons


def compare_runs(
    references: Sequence[str],
    runs: Sequence[Sequence[str]],
    other_runs: Sequence[Sequence[str]],
    *,
    metric: MetricName = "bleu",
    resamples: int = 1000,
) -> TranslationComparison:
    r"""Two translators, each trained with several seeds, by the same paired bootstrap.

    The statistic is the mean over seeds of the corpus score, of the first less of the second.
    Test sentences are drawn with replacement, the same ones for both translators and for all their
    seeds: seeds share the test set, so they make the mean less noisy, not the test set larger. With
    a single run of each this is :func:`compare_translations`, to the digit.

    Args:
        references: the reference of each sentence.
        runs: translations by the first, one list a seed.
        other_runs: by the second, likewise; as many seeds or not.
        metric: "bleu", "chrf" or "ter".
        resamples: see :func:`compare_translations`.

    Raises:
        ValueError: if there is no run, or the numbers of sentences differ.
    """
    if not runs or not other_runs:
        raise ValueError("compare_runs: both translators need at least one run.")
    samples = _Resamples(references, metric, resamples)
    own = np.mean([samples.scores(run) for run in runs], axis=0)
    differences = own - np.mean([samples.scores(run) for run in other_runs], axis=0)
    difference = float(
        np.mean([corpus_score(metric, run, references) for run in runs])
        - np.mean([corpus_score(metric, run, references) for run in other_runs])
    )
    # The shift and the + 1 as in sacrebleu: a null hypothesis of no difference, never p = 0.
    absolute = np.abs(differences)
    exceeding = int(np.sum(absolute - absolute.mean() > abs(difference)))
    return TranslationComparison(
        difference=difference,
        p_value=(exceeding + 1) / (resamples + 1) if differences.any() else 1.0,
        interval=_interval(differences),
        signature=samples.signature(),
    )


class _Resamples:
    """The resamples that sacrebleu's paired bootstrap draws of the test sentences.

    sacrebleu keeps their scores to itself; an interval of the difference needs them.
    """

    def __init__(self, references: Sequence[str], metric: MetricName, resamples: int) -> None:
        self.references = list(references)
        self.metric = _make(metric)
        seed = os.environ.get("SACREBLEU_SEED", "12345")
        self.seed = None if seed.lower() == "none" else int(seed)
        size = len(self.references)
        rng = np.random.default_rng(self.seed or None)
        self.rows = rng.choice(size, size=(resamples, size), replace=True)

    def scores(self, translations: Sequence[str]) -> NDArray[np.float64]:
        """The corpus score of each resample."""
        _check(translations, self.references)
        statistics = np.array(
            self.metric._extract_corpus_statistics(list(translations), [self.references]),
            dtype="float32",
        )
        sums = (statistics[rows].sum(0) for rows in self.rows)
        return np.array([self.metric._compute_score_from_stats(total).score for total in sums])

    def signature(self) -> str:
        """The metric's signature, as sacrebleu's paired bootstrap gives it."""
        signature = self.metric.get_signature()
        signature.update("seed", str(self.seed).lower())
        signature.update("bs", len(self.rows))
        return str(signature)


def _interval(differences: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(differences, [0.025, 0.975])
    return float(low), float(high)


def _make(metric: MetricName) -> Metric:
    if metric not in _METRICS:
        raise ValueError(f"metric is {metric!r}; accepted are {', '.join(get_args(MetricName))}.")
    return _METRICS[metric]()


def _check(translations: Sequence[str], references: Sequence[str]) -> None:
    if len(translations) != len(references) or not references:
        raise ValueError(
            f"there are {len(translations)} translations and {len(references)} references; "
            "expected one of each for every sentence, and at least one sentence."
        )
