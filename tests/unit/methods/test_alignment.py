"""The companions: distances against direct formulas, and what they do to training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, pdist
from torch import Tensor, nn
from transformers import PreTrainedModel

from ptu_seq.batches import pad
from ptu_seq.images.batches import stack
from ptu_seq.images.networks import NetworkShape, new_network
from ptu_seq.methods import Task, get_method
from ptu_seq.methods.alignment import ALIGNMENTS
from ptu_seq.methods.alignment.coral import coral_loss
from ptu_seq.methods.alignment.dan import MULTIPLES
from ptu_seq.methods.alignment.dann import reverse_gradient
from ptu_seq.methods.alignment.mmd import squared_mmd
from ptu_seq.methods.domains import Domains
from ptu_seq.methods.readers import Activations, ClassifierReader
from ptu_seq.methods.vision import get_image_method
from ptu_seq.models.labels import linear_head
from ptu_seq.training import TrainingOptions, fit

LABELS = ["no", "yes"]
OPTIONS = TrainingOptions(batch_size=4, min_steps=6, max_steps=6, evaluations=1)
EVERY = [*ALIGNMENTS, *(f"ptu+{name}" for name in ALIGNMENTS)]


def samples(m: int = 7, n: int = 5) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(m, 3, dtype=torch.float64), 2 + torch.randn(n, 3, dtype=torch.float64)


def direct_mmd(x: np.ndarray, y: np.ndarray, multiples: tuple[float, ...]) -> float:
    """Gretton et al., eq. 3, pair by pair."""
    width = float(np.median(pdist(np.concatenate([x, y]), "sqeuclidean")))

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        distance = float(cdist(a[None], b[None], "sqeuclidean")[0, 0])
        return float(np.mean([np.exp(-distance / (2 * c * width)) for c in multiples]))

    def within(z: np.ndarray) -> float:
        pairs = [(i, j) for i in range(len(z)) for j in range(len(z)) if i != j]
        return float(np.mean([kernel(z[i], z[j]) for i, j in pairs]))

    between = np.mean([kernel(a, b) for a in x for b in y])
    return within(x) + within(y) - 2 * float(between)


@pytest.mark.parametrize("multiples", [(1.0,), MULTIPLES])
def test_mmd_is_the_direct_formula(multiples):
    x, y = samples(8, 7)  # of 105 distances one is the median
    ours = squared_mmd(x, y, multiples).item()
    assert ours == pytest.approx(direct_mmd(x.numpy(), y.numpy(), multiples), abs=1e-12)


def test_mmd_of_one_distribution_is_0_on_average():
    torch.manual_seed(0)
    estimates = torch.stack([squared_mmd(torch.randn(6, 2), torch.randn(6, 2)) for _ in range(800)])
    error = estimates.std() / len(estimates) ** 0.5
    assert estimates.mean().abs() < 3 * error < 0.02  # the biased estimate would be 0.13
    assert estimates.min() < 0


def test_mmd_has_gradients_where_points_are_equal():
    x = torch.zeros(3, 2, requires_grad=True)
    squared_mmd(x, torch.zeros(2, 2)).backward()
    assert x.grad is not None and bool(x.grad.isfinite().all())


def test_mmd_of_one_point_is_refused():
    with pytest.raises(ValueError, match="samples of 1 and 2 points"):
        squared_mmd(torch.zeros(1, 2), torch.zeros(2, 2))


def test_coral_is_the_distance_of_numpys_covariances():
    x, y = samples()
    difference = np.cov(x.numpy().T) - np.cov(y.numpy().T)
    assert coral_loss(x, y).item() == pytest.approx((difference**2).sum() / (4 * 3**2), abs=1e-12)
    assert torch.autograd.gradcheck(coral_loss, (x.requires_grad_(), y.requires_grad_()))


def test_a_reversed_gradient_leaves_what_it_passes_as_it_is():
    x = torch.randn(3, requires_grad=True)
    y = reverse_gradient(x, 0.3)
    assert torch.equal(x, y)
    (y * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor([-0.3, -0.6, -0.9]))


# In use


def network(architecture: str = "vgg", labels: list[str] = LABELS) -> PreTrainedModel:
    torch.manual_seed(0)
    shape = NetworkShape(architecture, 4, 16, 1, dropout=0.0)
    return new_network(shape, dict(enumerate(labels)))


def images(count: int = 8, *, shift: float = 0.0, labels: int = 2) -> list[dict[str, Tensor]]:
    torch.manual_seed(1)
    return [
        {"pixel_values": shift + torch.randn(1, 16, 16), "labels": torch.tensor(i % labels)}
        for i in range(count)
    ]


def domains(source: Any, target: Any, target_labels: list[str] = LABELS) -> Domains:
    return Domains(source, target, LABELS, target_labels, stack, batch_size=4, seed=0)


def train_images(name: str, folder: Path, pool: Domains) -> PreTrainedModel:
    source, method = network(), get_image_method(name)
    torch.manual_seed(2)
    setting = method.grid[0]
    task = Task(dict(enumerate(pool.target_labels)), {})
    model = method.build(source, task, setting)
    rows: Any = images()
    fit(
        model,
        method.parameter_groups(model, setting),
        rows,
        rows,
        OPTIONS,
        collate=stack,
        sampling="random",
        folder=folder,
        seed=0,
        callbacks=method.callbacks(model, setting),
        objectives=method.objectives(
            model, source, task, setting, lambda model: ClassifierReader(model, pool)
        ),
    )
    return model


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(LABELS, id="same_labels", marks=pytest.mark.slow),
        pytest.param(["cat", "dog"], id="other_labels"),
    ],
)
@pytest.mark.parametrize("name", EVERY)
def test_a_companion_changes_what_is_learned_and_leaves_no_trace(name, labels, tmp_path):
    pool = domains(images(9, shift=3.0), images(6), labels)
    alone = "ptu" if name.startswith("ptu") else "fine_tune"
    joined, again, plain = (train_images(n, tmp_path, pool) for n in (name, name, alone))
    weights, same, others = (dict(m.named_parameters()) for m in (joined, again, plain))
    assert set(weights) == set(others)
    assert all(torch.equal(weights[n], same[n]) for n in weights)
    assert any(not torch.equal(weights[n], others[n]) for n in weights)
    head = linear_head(getattr(joined, "target", joined))
    assert not head._forward_pre_hooks


@pytest.mark.parametrize("name", ["ddc", "dan", "coral"])
def test_the_loss_draws_the_domains_together(name):
    model: Any = network("lenet")
    far: Any = images(16, shift=1.0)
    near: Any = images(16)
    loss = objective(name, model, domains(far, near, ["cat", "dog"]))

    def distance() -> float:
        with torch.no_grad():
            sides = [
                Activations(model.trunk(stack(rows)["pixel_values"]), None) for rows in (far, near)
            ]
        return float(loss.distance(*sides, 0.0))

    before = distance()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(40):
        optimizer.zero_grad()
        loss({}, torch.zeros(1), 0.0).backward()
        optimizer.step()
    assert distance() < 0.3 * before


def objective(name: str, model: PreTrainedModel, pool: Domains, strength: float = 1.0) -> Any:
    return ALIGNMENTS[name](ClassifierReader(model, pool), strength)


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_the_source_is_classified_too_where_the_labels_are_the_same(name):
    model, rows = network(), images(4)
    loss = objective(name, model, domains(rows, images(4)), strength=0.0)({}, torch.zeros(1), 0.5)
    torch.testing.assert_close(loss, model(**stack(rows)).loss)
    other = objective(name, model, domains(rows, images(4), ["cat", "dog"]), strength=0.0)
    assert other({}, torch.zeros(1), 0.5) == 0


@pytest.mark.parametrize("labels", [LABELS, ["cat", "dog"]])
def test_dan_aligns_logits_where_they_mean_the_same(labels, monkeypatch):
    seen: list[Activations] = []
    dan = objective("dan", network(), domains(images(4), images(4), labels))

    def distance(source: Activations, target: Activations, progress: float) -> Tensor:
        seen.extend([source, target])
        return source.features.sum()

    monkeypatch.setattr(dan, "distance", distance)
    dan({}, torch.zeros(1), 0.5)
    assert [a.features.shape for a in seen] == [(4, 16), (4, 16)]
    assert all((a.above is not None) == (labels == LABELS) for a in seen)


@pytest.mark.parametrize("architecture", ["vgg", "resnet", "mobilenet_v1"])
def test_batch_norm_keeps_the_statistics_of_the_target_alone(architecture):
    def statistics(shift: float) -> list[Tensor]:
        model = network(architecture).train()
        pool = domains(images(4, shift=shift), images(4), ["cat", "dog"])
        objective("ddc", model, pool)({}, torch.zeros(1), 0.5)
        return [b for name, b in model.named_buffers() if "running" in name]

    near, far = statistics(0.0), statistics(9.0)
    assert near and all(torch.equal(a, b) for a, b in zip(near, far, strict=True))
    fresh = [b for name, b in network(architecture).named_buffers() if "running" in name]
    assert not all(torch.equal(a, b) for a, b in zip(near, fresh, strict=True))


def test_danns_discriminator_learns_and_the_features_work_against_it():
    model = network()
    dann = objective("dann", model, domains(images(4, shift=5.0), images(4), ["cat", "dog"]))
    weights = dann.parameter_groups()[0]["params"]
    features = torch.randn(8, 16, requires_grad=True)
    halves = [Activations(part, None) for part in features.split(4)]

    def gradient(progress: float) -> Tensor:
        loss = dann.distance(*halves, progress)
        grads = torch.autograd.grad(loss, [features, *weights])
        assert all(g.abs().sum() > 0 for g in grads[1:])
        return grads[0]

    plain = nn.functional.binary_cross_entropy_with_logits(
        dann.discriminator(features).squeeze(1), torch.tensor([0.0] * 4 + [1.0] * 4)
    )
    torch.testing.assert_close(dann.distance(*halves, 0.7), plain)
    (straight,) = torch.autograd.grad(plain, features)
    torch.testing.assert_close(gradient(1.0), -straight, atol=1e-7, rtol=1e-3)
    assert gradient(0.0).abs().sum() == 0


@pytest.mark.parametrize("name", EVERY)
def test_companions_read_texts(name, source, batch, tmp_path):
    method = get_method(name)
    rows: Any = [{key: batch[key][i] for key in batch} for i in range(6)]
    others: Any = [{**row, "input_ids": row["input_ids"][:5]} for row in rows]
    for row in others:
        row["attention_mask"] = row["attention_mask"][:5]
    pool = Domains(
        others, rows, ["negative", "positive"], ["cold", "hot"], lambda r: pad(r, 0), 32, seed=0
    )
    setting = method.grid[-1]
    task = Task({0: "cold", 1: "hot"}, {})
    model = method.build(source, task, setting)
    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    trained = fit(
        model,
        method.parameter_groups(model, setting),
        rows,
        rows,
        OPTIONS,
        collate=lambda r: pad(r, 0),
        sampling="group_by_length",
        folder=tmp_path,
        seed=0,
        objectives=method.objectives(
            model, source, task, setting, lambda model: ClassifierReader(model, pool)
        ),
    )
    assert trained.steps == 6
    model.cpu()
    assert any(not torch.equal(before[n], p) for n, p in model.named_parameters() if n in before)
