"""What is told of lines: as if each had been read alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from ptu_seq.data import TokenizerPair
from ptu_seq.errors import UserError
from ptu_seq.explain import Explanation, load_explainer
from ptu_seq.models import (
    CrossStitchForConditionalGeneration,
    PTUEncoderForSequenceClassification,
    PTUForConditionalGeneration,
    PTUForSequenceClassification,
    RNNConfig,
    RNNForConditionalGeneration,
    RNNForSequenceClassification,
)
from ptu_seq.models.collapse import collapse, units_by_place
from ptu_seq.models.collapse_seq2seq import collapse_translator
from ptu_seq.models.collapsed_seq2seq import units_by_place as translator_units
from ptu_seq.unit import PTUGates
from tests.unit.encoders import encoder_source

KINDS = ["single", "pair", "encoder", "translator"]
LINES = {
    "single": ["good film", "", "very very bad film", "a"],
    "pair": ["good\tvery bad film", "the film\tbad", "\t", "a\ta"],
    "encoder": ["good film", "very very bad film", " ", "a"],
    "translator": ["a b c d", "", "f", "e d c"],
}


def classifier(tokenizer_dir: Path, folder: Path, *, is_pair: bool) -> Path:
    torch.manual_seed(0)
    source = RNNForSequenceClassification(
        RNNConfig(
            vocab_size=8, embedding_size=6, hidden_size=6, bidirectional=True, is_pair=is_pair
        )
    )
    PTUForSequenceClassification.from_source(
        source, init="random", id2label={0: "no", 1: "yes"}
    ).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer_dir).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory, tiny_classifier: Path, tiny_translator: Path) -> dict[str, Path]:
    """A saved model of each kind."""
    root = tmp_path_factory.mktemp("explain")
    encoder = root / "encoder"
    torch.manual_seed(0)
    PTUEncoderForSequenceClassification.from_source(
        encoder_source(), init="random", id2label={0: "no", 1: "yes"}
    ).save_pretrained(encoder)
    AutoTokenizer.from_pretrained(tiny_classifier).save_pretrained(encoder)
    translator = root / "translator"
    parent = RNNForConditionalGeneration.from_pretrained(tiny_translator)
    PTUForConditionalGeneration.from_source(parent).save_pretrained(translator)
    TokenizerPair.load(tiny_translator).save(translator)
    return {
        "single": classifier(tiny_classifier, root / "single", is_pair=False),
        "pair": classifier(tiny_classifier, root / "pair", is_pair=True),
        "encoder": encoder,
        "translator": translator,
    }


def numbers(told: Explanation) -> list[float]:
    written = told.written.sites if told.written else ()
    gates = [x for s in (*told.read.sites, *told.whole, *written) for x in s.update + s.fine_tune]
    return [*gates, told.score or 0.0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_tells_what_each_line_tells_alone(kind, models):
    explain = load_explainer(str(models[kind]))
    together = list(explain(LINES[kind], 3))
    alone = [next(explain([line], 1)) for line in LINES[kind]]
    assert len(together) == len(LINES[kind])
    for a, b in zip(together, alone, strict=True):
        assert (a.texts, a.prediction, a.read.tokens) == (b.texts, b.prediction, b.read.tokens)
        assert numbers(a) == pytest.approx(numbers(b), abs=1e-5)
        assert (a.prediction is None) == (not "".join(a.texts).strip())


@pytest.mark.parametrize("kind", KINDS)
def test_every_token_has_both_gates_at_every_site(kind, models):
    told = next(load_explainer(str(models[kind]))(LINES[kind], 4))
    readings = [told.read, *([told.written] if told.written else [])]
    for reading in readings:
        assert reading.tokens and reading.sites
        for site in reading.sites:
            assert len(site.update) == len(site.fine_tune) == len(reading.tokens)
            assert all(0 <= x <= 1 for x in site.update + site.fine_tune)
    assert (told.written is not None) == (kind == "translator")
    assert [s.site for s in told.whole] == ([] if kind == "translator" else ["classifier"])


def test_gates_are_the_models_means_over_neurons(models):
    model = PTUForSequenceClassification.from_pretrained(models["single"]).eval()
    seen: dict[str, PTUGates] = {}
    model.gates(torch.tensor([[2, 4]]), seen.__setitem__)
    told = next(load_explainer(str(models["single"]))(["good film"], 1))
    assert told.read.tokens == ("good", "film")
    for site in told.read.sites:
        assert site.update == pytest.approx(seen[site.site].update.mean(1).tolist(), abs=1e-6)
        assert site.fine_tune == pytest.approx(seen[site.site].fine_tune.mean(1).tolist(), abs=1e-6)


def test_the_tokens_of_a_pair_are_the_premises_then_the_hypothesiss(models):
    told = next(load_explainer(str(models["pair"]))(["good\tvery bad"], 1))
    assert told.read.tokens == ("good", "very", "bad")


def test_lines_that_are_too_long_are_cut_and_marked(models):
    explain = load_explainer(str(models["single"]))
    long, short = explain(["film " * 9, "film " * 8], 2)
    assert (long.is_cut, short.is_cut) == (True, False)
    assert len(long.read.tokens) == len(short.read.tokens) == 8


@pytest.mark.parametrize("kind", ["pair", "translator"])
def test_lines_before_one_that_cannot_be_read_are_explained(kind, models):
    def lines():
        yield LINES[kind][0]
        raise UserError("broken.")

    explained = load_explainer(str(models[kind]))(lines(), 3)
    assert next(explained).prediction is not None
    with pytest.raises(UserError, match="broken"):
        next(explained)


def test_a_collapsed_model_tells_of_the_units_that_are_left(models, tmp_path):
    folder = models["single"]
    model = PTUForSequenceClassification.from_pretrained(folder)
    units_by_place(model)["layer0.forward"].pin("adapted")
    collapse(model).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    (told,) = load_explainer(str(tmp_path))(["very bad film"], 1)
    gates = {site.site: site for site in told.read.sites}
    assert set(gates["layer0.forward"].update) == {1.0} == set(gates["layer0.forward"].fine_tune)
    assert 0 < min(gates["layer0.reverse"].update) < 1
    assert all(len(site.update) == len(told.read.tokens) for site in told.read.sites)


def test_a_collapsed_translator_tells_of_the_units_that_are_left(tiny_translator, tmp_path):
    parent = RNNForConditionalGeneration.from_pretrained(tiny_translator)
    model = PTUForConditionalGeneration.from_source(parent, source_input="target")
    units = translator_units(model)
    units["attention"].pin("target")
    units["output"].pin("adapted")
    collapse_translator(model).save_pretrained(tmp_path)
    TokenizerPair.load(tiny_translator).save(tmp_path)
    (told,) = load_explainer(str(tmp_path))(["c a b"], 1)
    assert told.written is not None
    gates = {site.site: site for site in (*told.read.sites, *told.written.sites)}
    assert gates.keys() == units.keys() - {"attention"}
    assert set(gates["output"].update) == {1.0} == set(gates["output"].fine_tune)
    assert 0 < min(gates["encoder.layer0.forward"].update) < 1


def test_models_without_gates_are_refused(tiny_classifier, tiny_translator, tmp_path):
    parent = RNNForConditionalGeneration.from_pretrained(tiny_translator)
    CrossStitchForConditionalGeneration.from_source(parent).save_pretrained(tmp_path)
    for folder in (tiny_classifier, tiny_translator, tmp_path):
        with pytest.raises(UserError, match="has no gates at tokens; accepted is a text"):
            load_explainer(str(folder))


def test_damaged_and_missing_models_are_told(models, tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        load_explainer(str(tmp_path / "absent"))
    folder = shutil.copytree(models["single"], tmp_path / "model")
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match="no model that can be loaded"):
        load_explainer(str(folder))
