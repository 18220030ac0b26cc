"""An encoder-decoder of two networks: equal to either of them where it should be, to the bit.

Both sides of a comparison run with gradients or both without: torch's kernels round differently.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ptu_seq.gate_statistics import GateStatistics
from ptu_seq.models import (
    PTUForConditionalGeneration,
    RNNForConditionalGeneration,
)
from ptu_seq.models.copy_parent import plain_weights
from ptu_seq.source import content_hash
from ptu_seq.unit import PTUGates

GRAD_MODES = (torch.enable_grad, torch.no_grad)
SITES = ("embedding", "encoder", "attention", "decoder", "output")


@pytest.fixture(params=["bahdanau", "luong_general", "luong_dot"])
def attention(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[False, True], ids=["fused", "input feeding"])
def input_feeding(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture(params=["own", "target"])
def source_input(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def shape(rnn_type: str, attention: str, input_feeding: bool) -> dict[str, Any]:
    """Every shape of network."""
    return {"rnn_type": rnn_type, "attention": attention, "input_feeding": input_feeding}


def plain_child(model: PTUForConditionalGeneration) -> RNNForConditionalGeneration:
    """The child network by itself."""
    network = RNNForConditionalGeneration(model.target_config)
    network.load_state_dict(plain_weights(model))
    return network.eval()


def test_pinned_target_is_the_child(shape, level, make_parent, make_translations, perturb):
    sizes = {"embedding_size": 7, "hidden_size": 10}
    model = PTUForConditionalGeneration.from_source(
        make_parent(**shape), init="random", level=level, target=sizes
    )
    perturb(model)
    model.pin("target").eval()
    child, batch = plain_child(model), make_translations()
    for grad_mode in GRAD_MODES:
        with grad_mode():
            assert torch.equal(model(**batch).logits, child(**batch).logits)


def test_pinned_frozen_is_the_parent(
    shape, level, source_input, make_parent, make_translations, perturb
):
    """The output layer is the child's own, and here the parent's."""
    parent = make_parent(**shape)
    model = PTUForConditionalGeneration.from_source(
        parent, init="random", level=level, source_input=source_input
    )
    perturb(model)
    for name in ("output", "projection"):
        ours, theirs = getattr(model.decoder, name), getattr(parent.decoder, name)
        ours.load_state_dict(theirs.state_dict())
    model.pin("frozen").eval()
    batch = make_translations()
    for grad_mode in GRAD_MODES:
        with grad_mode():
            assert torch.equal(model(**batch).logits, parent(**batch).logits)


@pytest.mark.parametrize("tie_embeddings", ["none", "all"])
def test_started_from_the_parent_is_the_parent(
    tie_embeddings, shape, level, source_input, make_parent, make_translations
):
    parent = make_parent(**shape, tie_embeddings=tie_embeddings)
    model = PTUForConditionalGeneration.from_source(
        parent, level=level, source_input=source_input
    ).eval()
    batch = make_translations()
    for grad_mode in GRAD_MODES:
        with grad_mode():
            ours, theirs = model(**batch).logits, parent(**batch).logits
        if level == "layer":
            assert torch.equal(ours, theirs)
        else:  # a loop over steps rounds otherwise than torch's fused kernel
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("site", SITES)
def test_every_site_alone_changes_the_network(
    site, source_input, make_parent, make_translations, perturb
):
    model = PTUForConditionalGeneration.from_source(
        make_parent(), init="random", sites=[site], source_input=source_input
    )
    perturb(model)
    batch = make_translations()
    active = [unit for at, unit in model.units() if at == site]
    assert len(active) == {"embedding": 2, "encoder": 4, "decoder": 2}.get(site, 1)
    assert [unit.pinned for at, unit in model.units() if at != site] == ["target"] * (
        10 - len(active)
    )
    logits = model.eval()(**batch).logits
    assert not torch.allclose(logits, model.pin("target")(**batch).logits)
    assert torch.equal(logits, model.unpin()(**batch).logits)
    model.train()(**batch).loss.backward()
    for at, unit in model.units():
        for parameter in unit.parameters():
            assert (parameter.grad is not None) == (at == site) == parameter.requires_grad


def test_the_parent_reads_through_the_mapping(make_parent, mapping, make_translations):
    """With equal output layers, the frozen model gives what the parent gives on mapped tokens."""
    parent = make_parent(tie_embeddings="none", unk_token_id=4)
    model = PTUForConditionalGeneration.from_source(
        parent,
        target={"vocab_size": 12, "decoder_vocab_size": 12},
        encoder_mapping=mapping,
        decoder_mapping=mapping,
    )
    model.pin("frozen").eval()
    batch = make_translations(12)
    labels = batch["labels"]
    ids = mapping.where(mapping >= 0, 4)
    theirs = parent(
        ids[batch["input_ids"]],
        batch["attention_mask"],
        decoder_input_ids=ids[model.prepare_decoder_input_ids_from_labels(labels)],
    ).logits
    ours = model(**batch).logits
    known = mapping >= 0
    assert torch.equal(ours[..., known], theirs[..., mapping[known]])


def test_unknown_tokens_have_the_childs_vector_alone(ptu_child, mapping):
    ids = torch.tensor([[4, 5, 9, 6]])
    unit_at: list[Tensor] = []
    lent = ptu_child.source.network.encoder.embedding(mapping[ids].clamp(min=0))
    vectors = ptu_child.encoder.embedding(
        ids,
        lent,
        mapping[ids] >= 0,
        on_gates=lambda site, gates: unit_at.append(gates.update),
    )
    own = ptu_child.encoder.embedding.target(ids)
    assert torch.equal(vectors[0, 1:3], own[0, 1:3])
    assert not torch.isclose(vectors[0, ::3], own[0, ::3]).all() and unit_at


def test_nothing_flows_into_the_parent(ptu_child, make_translations):
    before = content_hash(ptu_child.source.network)
    batch = make_translations(12, 30)
    optimizer = torch.optim.SGD([p for p in ptu_child.parameters() if p.requires_grad], lr=0.1)
    ptu_child.train()
    assert not any(module.training for module in ptu_child.source.modules())
    for _ in range(2):
        ptu_child(**batch).loss.backward()
        optimizer.step()
    assert content_hash(ptu_child.source.network) == before
    assert all(p.grad is None and not p.requires_grad for p in ptu_child.source.parameters())
    state = ptu_child.encode(batch["input_ids"]).source
    assert state is not None and not state.memory.values.requires_grad
    assert not any(p.requires_grad for p in ptu_child.requires_grad_().source.parameters())


def test_every_trained_weight_learns(
    shape, level, source_input, make_parent, make_translations, perturb
):
    parent = make_parent(**shape)
    model = PTUForConditionalGeneration.from_source(
        parent, init="random", level=level, source_input=source_input
    )
    perturb(model)
    model.train()(**make_translations()).loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_dropout_of_the_parent_sleeps(source_input, make_parent, make_translations):
    parent = make_parent(embedding_dropout=0.5, hidden_dropout=0.5).train()
    model = PTUForConditionalGeneration.from_source(
        parent,
        target={"embedding_dropout": 0.0, "hidden_dropout": 0.0},
        source_input=source_input,
    ).train()
    batch = make_translations()
    assert torch.equal(model(**batch).logits, parent.eval()(**batch).logits)


def test_gradients_pass_through_the_frozen_layers(shape, level, make_parent, make_translations):
    """The child's vectors learn through the parent's layers, whose weights take no gradient."""
    model = PTUForConditionalGeneration.from_source(
        make_parent(**shape), level=level, source_input="target"
    )
    for site, unit in model.units():
        unit.pin("target" if site == "embedding" else "frozen")
    model.train()(**make_translations()).loss.backward()
    for side in (model.encoder, model.decoder):
        vectors = side.get_parameter("embedding.target.weight")
        assert vectors.grad is not None and vectors.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.source.parameters())


def test_pinned_below_the_layers_the_parents_layers_read_the_childs_vectors(
    shape, level, make_parent, make_translations
):
    """The child's vectors under the parent's layers: what the method `frozen` trains."""
    parent, batch = make_parent(**shape), make_translations()
    model = PTUForConditionalGeneration.from_source(
        parent, init="random", level=level, source_input="target"
    ).eval()
    for site, unit in model.units():
        unit.pin("target" if site == "embedding" else "frozen")
    for side in ("encoder", "decoder"):
        vectors = getattr(model, side).embedding.target.state_dict()
        getattr(parent, side).embedding.load_state_dict(vectors)
    for name in ("output", "projection"):
        ours, theirs = getattr(model.decoder, name), getattr(parent.decoder, name)
        theirs.load_state_dict(ours.state_dict())
    for grad_mode in GRAD_MODES:
        with grad_mode():
            assert torch.equal(model(**batch).logits, parent(**batch).logits)


@pytest.mark.parametrize("fed", [False, True])
def test_gates_are_reported_at_tokens(fed, level, make_parent, make_translations, perturb):
    model = PTUForConditionalGeneration.from_source(make_parent(input_feeding=fed), level=level)
    perturb(model)
    batch = make_translations()
    seen: dict[str, PTUGates] = {}
    model.eval().gates(on_gates=seen.__setitem__, **batch)
    assert {site: tuple(gates.update.shape) for site, gates in seen.items()} == {
        "encoder.embedding": (21, 6),
        **{f"encoder.layer{i}.{d}": (21, 4) for i in (0, 1) for d in ("forward", "reverse")},
        "decoder.embedding": (20, 6),
        "decoder.layer0": (20, 8),
        "decoder.layer1": (20, 8),
        "attention": (20, 8),
        "output": (20, 8),
    }
    # Each row is that of its token: the second sentence's begin after the first's.
    alone: dict[str, PTUGates] = {}
    one = {name: value[1:2] for name, value in batch.items()}
    model.gates(on_gates=alone.__setitem__, **one)
    for site in ("decoder.embedding", "decoder.layer1", "attention", "output"):
        torch.testing.assert_close(seen[site].update[4:12], alone[site].update)
    statistics = GateStatistics()
    model.pin("frozen").gates(on_gates=statistics, **batch)
    assert all(record["update"]["mean"] == 1 for record in statistics.as_records())


def test_where_the_parent_knows_no_token_its_share_counts_as_none(
    make_parent, mapping, make_translations
):
    model = PTUForConditionalGeneration.from_source(
        make_parent(),
        target={"vocab_size": 12, "decoder_vocab_size": 12},
        encoder_mapping=mapping,
        decoder_mapping=mapping,
    ).eval()
    seen: dict[str, PTUGates] = {}
    batch = make_translations(12)
    model.gates(on_gates=seen.__setitem__, **batch)
    written = model.prepare_decoder_input_ids_from_labels(batch["labels"])
    read = {
        "encoder.embedding": batch["input_ids"][batch["attention_mask"].bool()],
        "decoder.embedding": written[batch["labels"] != -100],
    }
    for site, tokens in read.items():
        known = mapping[tokens] >= 0
        assert known.any() and not known.all()
        assert torch.equal((seen[site].update > 0).all(-1), known)


def test_frozen_layers_leave_eval_mode_for_no_longer_than_gradients_pass(
    make_parent, make_translations
):
    """On a GPU, cuDNN's backward asks for training mode; everything else in the parent sleeps."""
    model = PTUForConditionalGeneration.from_source(make_parent(), source_input="target").train()
    modes: list[bool] = []
    for layer in model.source.network.modules():
        if isinstance(layer, torch.nn.RNNBase):
            layer.register_forward_hook(lambda layer, *_: modes.append(layer.training))
    model(**make_translations()).loss.backward()
    with torch.no_grad():
        model(**make_translations())
    assert modes == [True] * 4 + [False] * 4
    assert not any(module.training for module in model.source.modules())


def test_units_have_the_numbers_of_their_site(make_parent):
    biases = dict(zip(SITES, (0.0, -1.0, -2.0, -3.0, -4.0), strict=True))
    dropout = dict(zip(SITES, (0.5, 0.4, 0.3, 0.2, 0.1), strict=True))
    model = PTUForConditionalGeneration.from_source(
        make_parent(), update_bias=biases, gate_dropout=dropout
    )
    for site, unit in model.units():
        assert unit.gate_dropout == dropout[site]
        assert set(unit.bias.chunk(3)[1].tolist()) == {biases[site]}


def test_a_double_precision_parent_gives_a_double_precision_child(make_parent, make_translations):
    parent, batch = make_parent().double(), make_translations()
    model = PTUForConditionalGeneration.from_source(parent).eval()
    assert model.dtype == model.source.network.dtype == torch.float64
    torch.testing.assert_close(model(**batch).logits, parent(**batch).logits)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init": "parent"}, "'parent' is no init"),
        ({"target": {"hiden_size": 4}}, "'hiden_size' is no field of target.*hidden_size"),
        ({"candidat": "tanh"}, "'candidat' is no option.*candidate"),
        ({"sites": ["rnn"]}, "sites is 'rnn'; accepted are embedding, encoder"),
        ({"target": {"hidden_size": 10}}, "hidden_size is 8 in the parent and 10 in the child"),
        ({"target": {"num_encoder_layers": 1}, "init": "random"}, "num_encoder_layers is 2"),
        ({"source_input": "child"}, "source_input is 'child'; accepted are own, target"),
        (
            {"source_input": "target", "target": {"embedding_size": 5}, "init": "random"},
            "embedding_size is 6 and the child's 5",
        ),
        (
            {"update_bias": {"encoder": -3.0}},
            "update_bias has numbers for encoder; .* of embedding",
        ),
        ({"target": {"vocab_size": 9}}, "pass encoder_mapping"),
        (
            {"target": {"vocab_size": 3}, "encoder_mapping": torch.tensor([0, 1])},
            "each of the child's 3 tokens",
        ),
    ],
)
def test_bad_arguments_are_explained(options, message, make_parent):
    with pytest.raises(ValueError, match=message):
        PTUForConditionalGeneration.from_source(make_parent(), **options)
