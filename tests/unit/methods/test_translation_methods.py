"""What holds of every translation method; what each takes from the parent, and what it trains."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ptu_seq.errors import UserError
from ptu_seq.methods.alignment import Companion
from ptu_seq.methods.translation import (
    TRANSLATION_METHODS,
    TranslationTask,
    get_translation_method,
)
from ptu_seq.methods.translation.base import TABLE_RATES
from ptu_seq.models import (
    PTUForConditionalGeneration,
    RNNForConditionalGeneration,
    Seq2SeqConfig,
)
from ptu_seq.source import content_hash

SAME = TranslationTask(vocab_size=20, decoder_vocab_size=22)
#: The parent knows 12 of the child's 16 source tokens, and all but two of its target tokens.
SOURCE_KNOWN = torch.tensor([0, 1, 2, 3, *[-1] * 4, *range(8, 16)])
TARGET_KNOWN = torch.tensor([*range(22), -1, -1])
OTHER = TranslationTask(
    vocab_size=16,
    decoder_vocab_size=24,
    encoder_mapping=SOURCE_KNOWN,
    decoder_mapping=TARGET_KNOWN,
)
SOURCE_OTHER = TranslationTask(vocab_size=16, decoder_vocab_size=22, encoder_mapping=SOURCE_KNOWN)
TASKS = [
    pytest.param(task, id=name)
    for name, task in {"same": SAME, "other": OTHER, "source_other": SOURCE_OTHER}.items()
]
SETTINGS = [
    pytest.param(method, setting, id=f"{name}-{i}")
    for name, method in TRANSLATION_METHODS.items()
    if not isinstance(method, Companion)  # they build and train what their method does
    for i, setting in enumerate(method.grid)
]


def make_parent(**fields: Any) -> RNNForConditionalGeneration:
    shape = {"vocab_size": 20, "decoder_vocab_size": 22, "embedding_size": 6, "hidden_size": 8}
    return RNNForConditionalGeneration(Seq2SeqConfig(**{**shape, **fields})).eval()


@pytest.fixture
def parent() -> RNNForConditionalGeneration:
    return make_parent(embedding_dropout=0.4, hidden_dropout=0.4, num_encoder_layers=2)


@pytest.fixture
def batch() -> dict[str, Tensor]:
    return {"input_ids": torch.randint(4, 16, (6, 8)), "labels": torch.randint(4, 22, (6, 5))}


def train(model: Any, groups: list[dict[str, Any]], batch: dict[str, Tensor]) -> None:
    """Some steps with a weight decay, which moves all that it may."""
    optimizer = torch.optim.AdamW(groups, weight_decay=0.1)
    model.train()
    for _ in range(4):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    model.eval()


def build(name: str, parent: RNNForConditionalGeneration, task: TranslationTask, i: int = 0) -> Any:
    method = get_translation_method(name)
    return method.build(parent, task, method.grid[i])


def fit(name: str, parent: Any, task: TranslationTask, batch: dict[str, Tensor]) -> Any:
    method = get_translation_method(name)
    model = build(name, parent, task)
    train(model, method.parameter_groups(model, method.grid[0]), batch)
    return model


@pytest.mark.parametrize("name", TRANSLATION_METHODS)
def test_methods_are_found_by_name(name):
    assert get_translation_method(name).name == name
    assert 1 <= len(get_translation_method(name).grid) <= 4


def test_a_misspelt_name_is_refused():
    with pytest.raises(UserError, match=r"'zopf' \(did you mean 'zoph'\?\); accepted: scratch,"):
        get_translation_method("zopf")


@pytest.mark.parametrize(("method", "setting"), SETTINGS)
@pytest.mark.parametrize("task", TASKS)
def test_the_optimiser_gets_every_trainable_weight_once(method, setting, task, parent):
    model = method.build(parent, task, setting)
    groups = method.parameter_groups(model, setting)
    given = [p for group in groups for p in group["params"]]
    trainable = [p for p in model.parameters() if p.requires_grad]
    assert len(given) == len(set(map(id, given)))
    assert set(map(id, given)) == set(map(id, trainable)) and trainable
    assert all(group["lr"] > 0 for group in groups)


@pytest.mark.parametrize(("method", "setting"), SETTINGS)
@pytest.mark.parametrize("task", TASKS)
def test_a_method_learns_the_child_and_leaves_the_parent_alone(
    method, setting, task, parent, batch
):
    before = content_hash(parent)
    model = method.build(parent, task, setting)
    logits = model(**batch).logits
    assert logits.shape == (6, 5, task.decoder_vocab_size)
    loss = model.eval()(**batch).loss
    train(model, method.parameter_groups(model, setting), batch)
    assert not torch.equal(model(**batch).loss, loss)
    assert content_hash(parent) == before


@pytest.mark.parametrize(("method", "setting"), SETTINGS)
def test_settings_reach_the_network(method, setting, parent):
    config = method.build(parent, SAME, setting).target_config
    for name, value in setting.items():
        if hasattr(config, name):
            assert getattr(config, name) == value


def test_fields_of_the_task_hold_for_all_methods(parent):
    task = TranslationTask(20, 22, network={"label_smoothing": 0.03, "variational_dropout": True})
    for name in ("fine_tune", "zoph", "ptu"):
        config = build(name, parent, task).target_config
        assert (config.label_smoothing, config.variational_dropout) == (0.03, True)


def test_scratch_takes_nothing_but_the_shape(parent, batch):
    torch.manual_seed(0)
    first = content_hash(build("scratch", parent, SAME))
    with torch.no_grad():
        for parameter in parent.parameters():
            parameter.add_(1.0)
    torch.manual_seed(0)
    assert content_hash(build("scratch", parent, SAME)) == first


@pytest.mark.parametrize("name", ["frozen", "fine_tune", "zoph"])
def test_transfer_starts_where_the_parent_is(name, parent, batch):
    child = build(name, parent, SAME).eval()
    assert torch.equal(child(**batch).logits, parent(**batch).logits)


@pytest.mark.parametrize("name", ["frozen", "fine_tune", "zoph"])
def test_tokens_that_both_know_start_with_the_parents_vectors(name, parent):
    child = build(name, parent, OTHER)
    known = SOURCE_KNOWN >= 0
    ours, theirs = child.encoder.embedding.weight, parent.encoder.embedding.weight
    assert torch.equal(ours[known], theirs[SOURCE_KNOWN[known]])
    assert not torch.equal(ours[4:8], theirs[4:8])
    assert torch.equal(child.decoder.embedding.weight[:22], parent.decoder.embedding.weight)


def changed(model: nn.Module, start: dict[str, Tensor]) -> set[str]:
    return {name for name, p in model.named_parameters() if not torch.equal(p, start[name])}


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


TARGET_TABLES = {"decoder.embedding.weight", "decoder.output.weight"}


@pytest.mark.parametrize("tying", ["none", "decoder"])
@pytest.mark.parametrize("name", ["frozen", "fine_tune", "zoph"])
def test_what_each_method_trains(name, tying, batch):
    parent = make_parent(tie_embeddings=tying)
    model = build(name, parent, SOURCE_OTHER)
    start = weights(model)
    groups = get_translation_method(name).parameter_groups(model, {"learning_rate": 0.01})
    train(model, groups, batch)
    trained = {
        "frozen": {"encoder.embedding.weight"},
        "fine_tune": set(start),
        "zoph": set(start) - TARGET_TABLES,
    }[name]
    assert changed(model, start) == trained


@pytest.mark.parametrize("tying", ["none", "decoder"])
@pytest.mark.parametrize("name", ["frozen", "zoph"])
def test_of_the_target_embeddings_only_unknown_tokens_are_trained(name, tying):
    parent = make_parent(tie_embeddings=tying)
    model = build(name, parent, OTHER)
    start = weights(model)
    method = get_translation_method(name)
    labels = torch.randint(4, 24, (6, 5))
    labels[:, 0] = 23
    batch = {"input_ids": torch.randint(4, 16, (6, 8)), "labels": labels}
    train(model, method.parameter_groups(model, method.grid[0]), batch)
    for name_ in TARGET_TABLES & set(start):
        now = dict(model.named_parameters())[name_]
        assert torch.equal(now[:22], start[name_][:22])
        assert not torch.equal(now[23], start[name_][23])


@pytest.mark.parametrize("name", ["frozen", "zoph"])
def test_a_joint_vocabulary_is_parted_where_one_side_stays_frozen(name, batch):
    parent = make_parent(vocab_size=22, tie_embeddings="all")
    task = TranslationTask(vocab_size=22, decoder_vocab_size=22)
    model = build(name, parent, task)
    assert torch.equal(model.eval()(**batch).logits, parent(**batch).logits)
    start = weights(model)
    method = get_translation_method(name)
    train(model, method.parameter_groups(model, method.grid[0]), batch)
    found = changed(model, start)
    assert "encoder.embedding.weight" in found
    assert not found & TARGET_TABLES


def test_frozen_parts_do_not_drop_out(parent, batch):
    model = build("frozen", parent, SAME).train()
    assert torch.equal(model(**batch).logits, model(**batch).logits)


def test_ptu_runs_beside_the_frozen_parent(parent, batch):
    model = fit("ptu", parent, OTHER, batch)
    assert isinstance(model, PTUForConditionalGeneration)
    for name, weight in parent.state_dict().items():
        assert torch.equal(model.source.network.state_dict()[name], weight)
    assert torch.equal(model.encoder_mapping, SOURCE_KNOWN)
    assert torch.equal(model.decoder_mapping, TARGET_KNOWN)


def test_ptu_has_its_options_and_a_rate_for_units(parent):
    method = get_translation_method("ptu")
    rates = {"learning_rate": 0.5, "unit_learning_rate": 0.25, "bias_learning_rate": 0.125}
    rates |= dict.fromkeys(TABLE_RATES, 0.5)
    setting = {**method.grid[0], **rates, "update_bias": -2.0, "gate_dropout": 0.75}
    task = TranslationTask(20, 22, unit_options={"candidate": "tanh", "sites": ["attention"]})
    model = method.build(parent, task, setting)
    assert isinstance(model, PTUForConditionalGeneration)
    assert (model.config.candidate, model.config.sites) == ("tanh", ["attention"])
    assert (model.config.update_bias, model.config.gate_dropout) == (-2.0, 0.75)
    groups = method.parameter_groups(model, setting)
    found = {id(p): group["lr"] for group in groups for p in group["params"]}
    expected = {id(p): 0.25 for _, unit in model.units() for p in unit.parameters()}
    expected |= {id(unit.bias): 0.125 for _, unit in model.units()}
    for parameter in model.parameters():
        if parameter.requires_grad:
            assert found[id(parameter)] == expected.get(id(parameter), 0.5)


TABLES: dict[str, tuple[set[str], set[str]]] = {
    "none": ({"encoder.embedding"}, {"decoder.embedding", "decoder.output"}),
    "decoder": ({"encoder.embedding"}, {"decoder.embedding"}),
    "all": (set(), set()),  # one table, with the new words and the known ones
}


@pytest.mark.parametrize("tying", TABLES)
@pytest.mark.parametrize("name", ["scratch", "fine_tune", "ptu"])
def test_tables_of_token_vectors_learn_at_rates_of_their_own(name, tying):
    parent = make_parent(vocab_size=22, tie_embeddings=tying)
    method = get_translation_method(name)
    rates = dict(zip(TABLE_RATES, (0.03125, 0.0625), strict=True))
    setting = {**method.grid[0], "learning_rate": 0.5, **rates}
    model = method.build(parent, TranslationTask(22, 22), setting)
    found = {id(p): g["lr"] for g in method.parameter_groups(model, setting) for p in g["params"]}
    names = {
        parameter_name.removesuffix(".weight").removesuffix(".target"): found[id(parameter)]
        for parameter_name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    source, target = TABLES[tying]
    assert {n for n, rate in names.items() if rate == 0.03125} == source
    assert {n for n, rate in names.items() if rate == 0.0625} == target
    assert names["decoder.combine"] == 0.5


@pytest.mark.parametrize("name", ["frozen", "zoph"])
def test_what_stays_frozen_stays_so_whatever_the_tables_rates(name, batch):
    parent = make_parent()
    setting = {"learning_rate": 0.01, **dict.fromkeys(TABLE_RATES, 0.02)}
    method = get_translation_method(name)
    model = method.build(parent, OTHER, setting)
    start = weights(model)
    train(model, method.parameter_groups(model, setting), batch)
    now = weights(model)
    assert torch.equal(now["decoder.embedding.weight"][:22], start["decoder.embedding.weight"][:22])
    assert not torch.equal(now["encoder.embedding.weight"], start["encoder.embedding.weight"])


@pytest.mark.parametrize("joint", [False, True])
def test_l2_sp_pulls_all_but_the_token_vectors_back_to_the_parent(joint, batch):
    fields: dict[str, Any] = {"tie_embeddings": "all", "decoder_vocab_size": 20} if joint else {}
    parent = make_parent(**fields)
    task = TranslationTask(
        20, 20 if joint else 22, network={k: fields[k] for k in list(fields)[:1]}
    )
    method = get_translation_method("l2_sp")
    setting = {**method.grid[0], "pull": 1e9}  # so strong that each step ends where it began
    model = method.build(parent, task, setting)
    (pull,) = method.callbacks(model, setting)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    optimizer = torch.optim.AdamW(method.parameter_groups(model, setting))
    model.train()(**{**batch, "labels": batch["labels"] % 20}).loss.backward()
    optimizer.step()
    control: Any = None
    pull.on_optimizer_step(control, control, control, optimizer=optimizer)
    for name, weight in model.named_parameters():
        is_table = "embedding" in name or name.startswith("decoder.output")
        assert torch.equal(weight, before[name]) != is_table, name
