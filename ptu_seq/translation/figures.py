"""The figure that only translations have: what the best model looked at, and its gates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ptu_seq.jobs import file_name
from ptu_seq.records import read_json
from ptu_seq.report.panels import write_numbers
from ptu_seq.translation.alignment import plot_alignment
from ptu_seq.translation.inference import Translator, translate

#: Words of the sentence shown: enough to see an order, few enough to read.
WORDS = range(6, 16)


def write_translation_figures(output_dir: Path) -> list[Path]:
    """Draws `figures/alignment.png` of the best model, if there is one, on a test sentence.

    Args:
        output_dir: the study's folder, with `model/` and `translations/`.

    Returns:
        The files written.
    """
    kept = read_json(output_dir / "model" / "run.json")
    if not kept:
        return []
    texts = output_dir / "translations" / file_name(kept["cell"]["target"]) / "source.txt"
    sentence = _sentence(texts.read_text(encoding="utf-8").splitlines() if texts.exists() else [])
    if sentence is None:
        return []
    translator = Translator.from_pretrained(str(output_dir / "model"))
    (translation,) = translate(translator.model, translator.tokenizers, [sentence])
    alignment = translator.align(translation)
    path = output_dir / "figures" / "alignment.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    plot_alignment(alignment, path)
    sites = alignment.update_gates
    write_numbers(
        path,
        ["token", *alignment.source_tokens, *(f"update gate, {site}" for site in sites)],
        [
            [token, *(f"{x:.4f}" for x in (*weights, *(gate[i] for gate in sites.values())))]
            for i, (token, weights) in enumerate(
                zip(alignment.target_tokens, alignment.weights, strict=True)
            )
        ],
    )
    return [path]


def _sentence(sentences: Sequence[str]) -> str | None:
    """The first of a length that is good to look at, or the first with any words; None of none."""
    long_enough = (text for text in sentences if len(text.split()) in WORDS)
    return next(long_enough, next((text for text in sentences if text.strip()), None))
