"""Two processes train a network with units as one does."""

from __future__ import annotations

import copy
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, multiprocessing
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from ptu_seq.sites import attach
from tests.unit.sites.networks import NETWORKS, Network, logits, perturb

PROCESSES = 2


def build(kind: str) -> tuple[torch.nn.Module, dict[str, Tensor]]:
    """The same network and batch in every process; weights differ, so that all gates matter."""
    torch.manual_seed(0)
    network: Network = NETWORKS[kind]
    target, source = network.build(4).eval(), network.build(4)
    batch = {name: x for name, x in network.batch(8).items() if name != "labels"}
    units = attach(target, [source, copy.deepcopy(source)], network.sites, batch)
    perturb(units.units)
    return target, batch


def gradients(model: torch.nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    logits(model, batch).square().mean().backward()
    return {
        name.removeprefix("module."): p.grad
        for name, p in model.named_parameters()
        if p.grad is not None
    }


def work(rank: int, kind: str, folder: Path) -> None:
    """One process: its part of the batch, and all that the others' parts add."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=PROCESSES
    )
    try:
        target, batch = build(kind)
        model = DistributedDataParallel(target)
        part = {name: x[rank::PROCESSES] for name, x in batch.items()}
        save_file(gradients(model, part), folder / f"{rank}.safetensors")
        dist.barrier()  # who leaves first can keep the other from ever leaving
        del model
    finally:
        dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason="this torch has no distributed package")
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sentences", "bert"])
def test_two_processes_give_the_gradients_of_one(kind, tmp_path):
    processes = multiprocessing.spawn(work, (kind, tmp_path), nprocs=PROCESSES, join=False)
    assert processes is not None
    ended = time.monotonic() + 240
    while not processes.join(timeout=10):
        if time.monotonic() > ended:
            for process in processes.processes:
                process.kill()
            pytest.fail("the two processes did not end within 4 minutes")
    expected = gradients(*build(kind))
    assert any(name.startswith("ptu.units") for name in expected)
    assert not any("source_networks" in name for name in expected)
    for rank in range(PROCESSES):
        found = load_file(tmp_path / f"{rank}.safetensors")
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-7, msg=name)
