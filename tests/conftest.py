"""What every test runs under: no network, one thread, fixed seeds, caches of its own."""

import os
import random
import signal
import tempfile

# Before transformers and datasets are imported: they read their environment once.
_cache = tempfile.TemporaryDirectory(prefix="ptu-seq-tests-")
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_CACHE=_cache.name,
    HYPOTHESIS_STORAGE_DIRECTORY=_cache.name,
    MPLBACKEND="Agg",
    OMP_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
)

import numpy  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

torch.set_num_threads(1)
if not torch.cuda.is_available():  # Before Triton is imported: kernels then run on the CPU.
    os.environ["TRITON_INTERPRET"] = "1"

# The same cases in each run; many more, and others each time: pytest --hypothesis-profile thorough.
settings.register_profile(
    "quick",
    max_examples=16,
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile(
    "thorough", settings.get_profile("quick"), max_examples=3000, derandomize=False
)
settings.load_profile("quick")

# A shell that runs the suite in the background has Ctrl-C ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def seeds() -> None:
    """The same random numbers in each test, whatever ran before it."""
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)
