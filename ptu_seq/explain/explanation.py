"""What is told of one line: the prediction, and both gates at each token."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: Digits of numbers in JSON.
DIGITS = 4


@dataclass(frozen=True)
class SiteGates:
    """Both gates at one site, averaged over its neurons.

    Args:
        site: its name in the model.
        update: how far the source's activation replaces the target's: a number for each token, or
            one where the site sees the whole sentence.
        fine_tune: how far the source's activation is re-tuned, likewise.
    """

    site: str
    update: tuple[float, ...]
    fine_tune: tuple[float, ...]

    def as_record(self) -> dict[str, Any]:
        """For JSON."""
        gates = {"update": self.update, "fine_tune": self.fine_tune}
        return {"site": self.site} | {k: [round(x, DIGITS) for x in v] for k, v in gates.items()}


@dataclass(frozen=True)
class Reading:
    """The tokens of a sentence and the gates at each of them.

    Args:
        tokens: pieces of the tokenizer.
        sites: the sites that see tokens, each with as many gates.
    """

    tokens: tuple[str, ...]
    sites: tuple[SiteGates, ...]


@dataclass(frozen=True)
class Explanation:
    """What is told of one line.

    Args:
        texts: the text, or premise and hypothesis.
        kind: what the model predicts: "label" or "translation".
        prediction: the most probable label, or the translation; None of a line without text.
        measure: what `score` is: "probability", or the "score" of a translation, its tokens' mean
            log-probability.
        score: of the prediction.
        read: the line's tokens.
        whole: sites that see whole sentences.
        written: the translation's tokens, with the gates under which each was written; None of
            labels.
        is_cut: whether the line was longer than the model reads.
    """

    texts: tuple[str, ...]
    kind: str
    prediction: str | None
    measure: str
    score: float | None
    read: Reading = Reading((), ())
    whole: tuple[SiteGates, ...] = ()
    written: Reading | None = None
    is_cut: bool = False

    def as_json(self) -> str:
        """One line: text, prediction, tokens and sites."""
        names = ("premise", "hypothesis") if len(self.texts) == 2 else ("text",)
        row: dict[str, Any] = dict(zip(names, self.texts, strict=True))
        row[self.kind] = self.prediction
        row[self.measure] = None if self.score is None else round(self.score, 6)
        row |= {"tokens": self.read.tokens, "sites": _records(self.read.sites)}
        if self.kind == "label":
            row["sentence_sites"] = _records(self.whole)
        else:
            written = self.written or Reading((), ())
            row |= {"target_tokens": written.tokens, "target_sites": _records(written.sites)}
        return json.dumps(row, ensure_ascii=False)

    def headline(self) -> str:
        """The prediction and its score."""
        if self.prediction is None or self.score is None:
            return "(no text)"
        if self.kind == "label":
            return f"{self.prediction} ({self.score:.2f})"
        return f"{self.prediction} (mean log-probability {self.score:.2f})"


def _records(sites: Sequence[SiteGates]) -> list[dict[str, Any]]:
    return [site.as_record() for site in sites]
