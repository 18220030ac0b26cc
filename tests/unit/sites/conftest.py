"""One test body for networks of every kind."""

from __future__ import annotations

import pytest
import torch

from tests.unit.sites.networks import NETWORKS, Network


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Network:
    """A kind of network."""
    torch.manual_seed(0)
    return NETWORKS[request.param]
