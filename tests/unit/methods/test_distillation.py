"""Distillation: the divergence from the source's answers, by hand and at its start."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ptu_seq.batches import pad
from ptu_seq.images.batches import stack
from ptu_seq.images.networks import ARCHITECTURES, NetworkShape, new_network
from ptu_seq.methods import Task, get_method
from ptu_seq.methods.distillation import TEMPERATURE, SourceAnswers
from ptu_seq.methods.readers import DomainReader
from ptu_seq.methods.vision import get_image_method
from ptu_seq.models.labels import linear_head
from ptu_seq.training import TrainingOptions, fit

OTHER = {0: "cold", 1: "mild", 2: "hot"}


def no_domains(model: Any) -> DomainReader:
    raise AssertionError("distillation learns from the labelled examples alone")


def answers(name: str, source: Any, model: Any, weight: float = 1.0) -> SourceAnswers:
    setting = {"learning_rate": 1e-3, "classifier_learning_rate": 1e-3, "distillation": weight}
    find = get_method if name == "text" else get_image_method
    (objective,) = find("distillation").objectives(
        model, source, Task(model.config.id2label, {}), setting, no_domains
    )
    assert isinstance(objective, SourceAnswers)
    return objective


def test_the_divergence_by_hand(source, batch):
    """Over the target's order of the labels, at the temperature, averaged over examples."""
    labels = {0: "positive", 1: "negative"}
    model = get_method("scratch").build(source, Task(labels, {}), {}).eval()
    objective = answers("text", source, model, weight=0.5)
    with torch.no_grad():
        logits = model(**batch).logits
        theirs = source(**batch).logits[:, [1, 0]]
        loss = objective(batch, logits, 0.0)
    expected = 0.0
    for z, s in zip(logits.double(), theirs.double(), strict=True):
        q, p = (torch.exp(v / 2) / torch.exp(v / 2).sum() for v in (z, s))
        expected += float((p * (p / q).log()).sum())
    assert TEMPERATURE == 2
    assert loss.item() == pytest.approx(0.5 * 4 * expected / len(logits), rel=1e-5)
    assert objective.parameter_groups() == []


@pytest.mark.parametrize("labels", [{0: "positive", 1: "negative"}, OTHER])
def test_a_copy_of_the_source_gives_its_answers(source, batch, labels):
    model = get_method("fine_tune").build(source, Task(labels, {}), {}).eval()
    objective = answers("text", source, model)
    loss = objective(batch, model(**batch).logits, 0.0)
    assert loss.item() == pytest.approx(0, abs=1e-6)


def train(source: Any, batch: dict[str, Tensor], folder: Any, objectives: list[Any]) -> Any:
    rows: Any = [{key: batch[key][i] for key in batch} for i in range(6)]
    torch.manual_seed(1)
    model = get_method("fine_tune").build(source, Task(OTHER, {}), {})
    if not objectives:
        objectives.append(answers("text", source, model))
    fit(
        model,
        [{"params": list(model.parameters()), "lr": 3e-2}],
        rows,
        rows,
        TrainingOptions(batch_size=6, min_steps=30, max_steps=30, evaluations=1),
        collate=lambda r: pad(r, 0),
        sampling="random",
        folder=folder,
        seed=0,
        objectives=[o for o in objectives if o],
    )
    return model.cpu().eval()


def test_it_keeps_the_sources_answers_where_fine_tuning_forgets_them(source, batch, tmp_path):
    before = {name: weight.clone() for name, weight in source.state_dict().items()}
    kept: list[Any] = []
    model = train(source, batch, tmp_path, kept)
    assert not linear_head(model)._forward_pre_hooks
    head = linear_head(source)
    trained = kept[0].second_classifier.cpu()
    assert not torch.equal(trained.weight, head.weight)
    assert all(torch.equal(before[name], weight) for name, weight in source.state_dict().items())

    def distance(network: Any) -> float:
        objective = answers("text", source, network)
        with torch.no_grad():
            return float(objective(batch, network(**batch).logits, 0.0))

    assert distance(model) < 0.5 * distance(train(source, batch, tmp_path, [None]))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_images_are_distilled_in_every_architecture(architecture):
    torch.manual_seed(0)
    source = new_network(NetworkShape(architecture, 4, 28, 1, 0.0), {0: "no", 1: "yes"}).eval()
    method = get_image_method("distillation")
    model = method.build(source, Task(OTHER, {}), method.grid[0]).eval()
    objective = answers("image", source, model)
    batch = stack([{"pixel_values": torch.randn(1, 28, 28)} for _ in range(4)])
    assert objective(batch, model(**batch).logits, 0.0).item() == pytest.approx(0, abs=1e-6)
    (group,) = objective.parameter_groups()
    assert {tuple(p.shape) for p in group["params"]} == {
        tuple(linear_head(source).weight.shape),
        (2,),
    }
