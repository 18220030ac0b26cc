"""What the configurations and `from_source` accept."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ptu_seq.models import PTUConfig, PTUForSequenceClassification, RNNConfig


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rnn_type": "lsmt"}, r"rnn_type is 'lsmt'; accepted are lstm, gru\."),
        ({"pooling": "sum"}, r"pooling is 'sum'; accepted are max, mean, last, attention\."),
        ({"hidden_size": 0}, r"hidden_size is 0; at least 1 needed\."),
        ({"id2label": {1: "a", 2: "b"}}, r"id2label numbers the labels \[1, 2\].* 0 to 1\."),
    ],
)
def test_bad_shapes(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RNNConfig(**fields)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init": "sorce"}, r"'sorce' is no init \(did you mean 'source'\?\); accepted"),
        ({"levle": "step"}, r"'levle' is no option \(did you mean 'level'\?\); accepted"),
        ({"target": {"hiden_size": 4}}, r"'hiden_size' .* \(did you mean 'hidden_size'\?\)"),
        ({"sites": ["embeddings"]}, r"sites is 'embeddings'; accepted are embedding, rnn, "),
        ({"level": "word"}, r"level is 'word'; accepted are layer, step"),
        ({"candidate": "cubic"}, r"candidate is 'cubic'; accepted are linear, tanh, relu"),
        ({"target": {"vocab_size": 7}}, r"source's vocab_size is 30 and the target's 7"),
        ({"target": {"num_hidden_layers": 1}}, r"source's num_hidden_layers is 2 and the"),
        ({"target": {"bidirectional": True}}, r"source's bidirectional is False and the"),
        ({"target": {"is_pair": True}}, r"source's is_pair is False and the target's True"),
        ({"target": {"pad_token_id": 1}}, r"source's pad_token_id is 0 and the target's 1"),
        (
            {"gate_dropout": {"rnn": 0.5}},
            r"gate_dropout has numbers for rnn; .* each of embedding, ",
        ),
        ({"target": {"hidden_size": 4}}, r"hidden_size is 5 there and 4 in the target; use init="),
        ({"target": {"rnn_type": "gru"}}, r"rnn_type is lstm there and gru in the target; use"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str, make_source) -> None:
    with pytest.raises(ValueError, match=message):
        PTUForSequenceClassification.from_source(make_source(), **options)


def test_numbers_by_site_reach_the_units_there(make_source, tmp_path) -> None:
    biases = {"embedding": 0.5, "rnn": -3.0, "classifier": -1.0}
    dropout = {"embedding": 0.25, "rnn": 0.0, "classifier": 0.5}
    model = PTUForSequenceClassification.from_source(
        make_source(), update_bias=biases, gate_dropout=dropout
    )
    model.save_pretrained(tmp_path)
    for one in (model, PTUForSequenceClassification.from_pretrained(tmp_path)):
        for site, unit in one.units():
            assert set(unit.bias.chunk(3)[1].tolist()) == {biases[site]}
            assert unit.gate_dropout == dropout[site]


def test_a_random_target_may_have_another_shape(make_source, make_batch) -> None:
    target = {"hidden_size": 4, "embedding_size": 3, "rnn_type": "gru", "pooling": "last"}
    model = PTUForSequenceClassification.from_source(
        make_source(bidirectional=True), init="random", target=target
    )
    assert model(**make_batch()).logits.shape == (4, 2)
    assert isinstance(model.rnn.target, torch.nn.GRU) and model.rnn.target.hidden_size == 4


def test_labels_are_the_sources_unless_given(make_source) -> None:
    def names(**labels: Any) -> list[str]:
        return PTUForSequenceClassification.from_source(make_source(), **labels).config.label_names

    assert names() == ["negative", "positive"]
    assert names(id2label={0: "a", 1: "b", 2: "c"}) == ["a", "b", "c"]
    assert names(num_labels=3) == ["LABEL_0", "LABEL_1", "LABEL_2"]


@pytest.mark.parametrize("config_class", [RNNConfig, PTUConfig])
def test_label2id_mirrors_id2label(config_class) -> None:
    config = config_class(id2label={"0": "no", "1": "yes", "2": "maybe"})
    assert config.label2id == {"no": 0, "yes": 1, "maybe": 2}
    assert config.num_labels == 3 and config.label_names == ["no", "yes", "maybe"]


def test_shape_makes_the_same_network() -> None:
    labels = {i: f"label {i}" for i in range(5)}
    config = RNNConfig(hidden_size=3, rnn_type="gru", pooling="mean", is_pair=True, id2label=labels)
    again = RNNConfig(**config.shape)
    assert again.shape == config.shape
    assert (again.rnn_type, again.pooling, again.pooled_size) == ("gru", "mean", 12)
    assert again.num_labels == 2
