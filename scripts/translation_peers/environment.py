"""The Python environment of the peers, apart from this project's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

import ptu_seq
from ptu_seq.errors import UserError

#: What is compared with. Installed without what they ask for: JoeyNMT wants a protobuf older than
#: Eole's, and both want packages of other tasks that take minutes to install.
PEERS = ("joeynmt==2.3.0", "eole==0.6.4")

#: What they import for recurrent translation.
NEEDED = (
    "numpy",
    "pyyaml",
    "sacrebleu",
    "tensorboard",
    "tqdm",
    # JoeyNMT
    "importlib_metadata",
    "matplotlib",
    "packaging",
    "sentencepiece>=0.1.94,<=0.2.2",
    "subword-nmt",
    # Eole
    "huggingface_hub",
    "pillow",
    "pydantic",
    "pyonmttok>=1.38.1,<2",
    "regex",
    "safetensors",
    "tokenizers",
)

SCRIPTS = Path(__file__).parents[1]

#: The folder that `ptu_seq` is imported from.
PROJECT = Path(ptu_seq.__file__).parents[1]


def default_environment() -> Path:
    """In the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "ptu-seq" / "translation-peers"


def requirements() -> list[str]:
    """What is installed beside the peers: the very build of torch that this process runs, first."""
    return [f"torch=={torch.__version__}", *NEEDED]


def prepare_environment(folder: Path) -> Path:
    """Makes the environment, or finds it made.

    Args:
        folder: where; made if need be.

    Returns:
        Its Python.

    Raises:
        UserError: if the folder is this process's own environment or something else, or an
            installation fails.
    """
    folder = folder.expanduser().absolute()
    python = folder / "bin" / "python"
    stamp = folder / "installed.json"
    wanted = [*PEERS, *requirements()]
    if stamp.is_file() and json.loads(stamp.read_text("utf-8")) == wanted:
        return python
    if folder.resolve() == Path(sys.prefix).resolve():
        raise UserError(
            f"--environment {folder} is the environment of this very process; the peers need one "
            "of their own: give another folder."
        )
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
        raise UserError(f"--environment {folder} holds something else; give an empty folder.")
    print(f"Installing {' and '.join(PEERS)} into {folder} (a few minutes, once)", flush=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    _run([*install, "--constraint", str(SCRIPTS / "constraints.txt"), *requirements()])
    _run([*install, "--no-deps", *PEERS])
    stamp.write_text(json.dumps(wanted), encoding="utf-8")
    return python


def variables(*, search_path: Sequence[str | Path] = ()) -> dict[str, str]:
    """The environment variables of a process that is compared.

    Args:
        search_path: where it finds modules beside its own packages, and nowhere else.
    """
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    path = {"PYTHONPATH": os.pathsep.join(map(str, search_path))} if search_path else {}
    return {**kept, **threads, **path, "TOKENIZERS_PARALLELISM": "false"}


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        words = " ".join(command[:4])
        last = [line for line in done.stdout.splitlines() if "error" in line.lower()][-3:]
        raise UserError(
            f"{words} ... failed while the peers were installed: {' '.join(last) or done.stdout}"
        )
