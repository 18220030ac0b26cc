"""Classifying lines: the right labels, in order, as they come."""

import pytest
import torch
from transformers import BertModel, pipeline

from ptu_seq.errors import UserError
from ptu_seq.inference import Classifier, classify_lines, open_lines

LINES = ["good film", "a very very bad film the", "the", "bad", "film film good a", "very good"]


@pytest.fixture(scope="module")
def classifier(tiny_classifier):
    return Classifier.from_pretrained(str(tiny_classifier))


@pytest.fixture(scope="module")
def pair_classifier(tiny_pair_classifier):
    return Classifier.from_pretrained(str(tiny_pair_classifier))


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_agrees_with_transformers_pipeline(classifier, tiny_classifier, batch_size):
    reference = pipeline("text-classification", model=str(tiny_classifier))
    predictions = list(classify_lines(classifier, LINES, batch_size=batch_size))
    assert [prediction.texts for prediction in predictions] == [(line,) for line in LINES]
    for prediction, expected in zip(predictions, reference(LINES), strict=True):
        assert prediction.label == expected["label"]
        assert prediction.probability == pytest.approx(expected["score"], abs=1e-5)
    assert {prediction.label for prediction in predictions} == {"negative", "positive"}


def test_a_batch_is_labelled_before_the_next_is_read(classifier):
    read = []

    def lines():
        for line in LINES:
            read.append(line)
            yield line

    predictions = classify_lines(classifier, lines(), batch_size=2)
    next(predictions)
    assert len(read) == 2


@pytest.mark.parametrize("batch_size", [1, 2, 10])
def test_lines_without_text_keep_their_place_unlabelled(classifier, batch_size):
    lines = ["", "good film", " \t ", "bad", ""]
    predictions = list(classify_lines(classifier, lines, batch_size=batch_size))
    assert [prediction.label is None for prediction in predictions] == [
        True,
        False,
        True,
        False,
        True,
    ]
    alone = list(classify_lines(classifier, ["good film", "bad"]))
    assert [predictions[i].label for i in (1, 3)] == [prediction.label for prediction in alone]


def test_pairs_are_one_sequence_with_token_types(pair_classifier):
    prediction, incomplete, empty = classify_lines(
        pair_classifier, ["good film\tthe bad", "good\t", ""]
    )
    logits = pair_classifier.model.cpu()(
        input_ids=torch.tensor([[2, 4, 5, 3]]), token_type_ids=torch.tensor([[0, 0, 1, 1]])
    ).logits
    probability, label = torch.softmax(logits, dim=-1)[0].max(dim=-1)
    assert prediction.texts == ("good film", "the bad")
    assert prediction.label == ["negative", "positive"][label]
    assert prediction.probability == pytest.approx(probability.item(), abs=1e-5)
    assert incomplete.label is None
    assert empty.label is None
    assert empty.as_tsv() == "\t\t\t"


def test_a_long_premise_leaves_the_hypothesis_whole(pair_classifier):
    long = " ".join(["very"] * 50)
    a, b = classify_lines(pair_classifier, [f"{long}\tgood", f"{long}\tbad"])
    assert a.probability != b.probability


@pytest.mark.parametrize(("line", "tabs"), [("good film", 0), ("a\tb\tc", 2)])
def test_a_line_that_is_no_pair_is_named(pair_classifier, line, tabs):
    predictions = classify_lines(pair_classifier, ["good\tbad", line], batch_size=1)
    assert next(predictions).label is not None
    with pytest.raises(UserError, match=f"line 2: .* {tabs} tabs instead of 1"):
        next(predictions)


def test_open_lines_drops_mark_and_line_ends(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\n\nfour\x0bstill four")
    with open_lines(str(path)) as lines:
        assert list(lines) == ["one", "two", "", "four\x0bstill four"]


def test_open_lines_names_the_line_that_is_not_utf8(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("tea\ncaf\u00e9\n".encode("latin-1"))
    with (
        pytest.raises(UserError, match=r"latin\.txt, line 2, byte 4 .* \(0xe9\)"),
        open_lines(str(path)) as lines,
    ):
        list(lines)


def test_from_pretrained_refuses_what_is_no_model(tmp_path, tiny_classifier):
    with pytest.raises(UserError, match="no such folder"):
        Classifier.from_pretrained(str(tmp_path / "absent"))
    with pytest.raises(UserError, match="holds no config.json"):
        Classifier.from_pretrained(str(tmp_path))
    with pytest.raises(UserError, match="the folder that holds the model"):
        Classifier.from_pretrained(str(tiny_classifier / "config.json"))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match="not a sequence classifier that can be loaded"):
        Classifier.from_pretrained(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(UserError, match="not a sequence classifier that can be loaded"):
        Classifier.from_pretrained(str(tmp_path))


def test_from_pretrained_refuses_a_model_without_a_head(tmp_path, tiny_classifier):
    BertModel.from_pretrained(tiny_classifier).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="weights lack classifier"):
        Classifier.from_pretrained(str(tmp_path))
