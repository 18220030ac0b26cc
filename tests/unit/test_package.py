"""The package as a user meets it: imports, the wheel, the scripts."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling import build

import ptu_seq

ROOT = Path(ptu_seq.__file__).parent.parent


def test_import_loads_torch_alone():
    code = (
        "import sys\n"
        "from ptu_seq import PTU, PTUEmbedding, PTUGRU, PTUGRUCell, PTULSTM, PTULSTMCell\n"
        "print(sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = run.stdout.strip()
    assert "'torch'" in loaded
    assert "transformers" not in loaded
    assert "datasets" not in loaded


def test_all_names_exist():
    assert len(ptu_seq.__all__) >= 6
    assert all(hasattr(ptu_seq, name) for name in ptu_seq.__all__)


@pytest.fixture(scope="module")
def unpacked_wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    before = os.getcwd()
    os.chdir(ROOT)
    try:
        wheel = folder / build.build_wheel(str(folder))
    finally:
        os.chdir(before)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def test_wheel_holds_package_and_recipes_alone(unpacked_wheel):
    files = {
        str(path.relative_to(unpacked_wheel))
        for path in unpacked_wheel.rglob("*")
        if path.is_file()
    }
    assert {"ptu_seq/py.typed", "ptu_seq/nn/rnn.py"} <= files
    for path in (ROOT / "recipes").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert f"ptu_seq/{path.relative_to(ROOT)}" in files
    metadata = f"ptu_seq-{ptu_seq.__version__}.dist-info"
    assert {name.partition("/")[0] for name in files} == {"ptu_seq", metadata}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["sentence_classification", "low_resource_mt"])
def test_recipe_runs_from_the_wheel(unpacked_wheel, tmp_path, recipe):
    run = subprocess.run(
        [sys.executable, "-m", "ptu_seq.cli", "run", recipe, "--preset=paper", "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(unpacked_wheel)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "--source_dataset" in run.stdout


@pytest.fixture
def checkout(tmp_path):
    """A copy of what scripts/install reads, with a .venv whose python only notes pip's calls."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def fake_python(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def install(checkout: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shutil.which("bash") or "bash", str(checkout / "scripts" / "install"), *words],
        cwd=checkout.parent,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def test_install_calls_pip_only_when_something_changed(checkout):
    fake_python(checkout / ".venv/bin/python", f'echo "$@" >> "{checkout}/calls"')

    def pip_installs() -> list[str]:
        calls = (checkout / "calls").read_text().splitlines()
        return [call for call in calls if call.startswith("-m pip install")]

    assert install(checkout, "recipes").returncode == 0
    assert "--constraint scripts/constraints.txt --editable .[recipes]" in pip_installs()[0]
    install(checkout, "recipes")
    assert len(pip_installs()) == 1
    install(checkout, "test")
    assert len(pip_installs()) == 2
    install(checkout, "recipes")  # which the extra `test` includes
    assert len(pip_installs()) == 2
    with (checkout / "scripts/constraints.txt").open("a") as constraints:
        constraints.write("numpy==2.0\n")
    install(checkout, "recipes")
    assert len(pip_installs()) == 3


def test_failed_install_is_tried_again(checkout):
    python = checkout / ".venv/bin/python"
    fake_python(python, 'case "$*" in *install*) exit 1;; esac')
    assert install(checkout, "recipes").returncode == 1
    fake_python(python, f'echo "$@" >> "{checkout}/calls"')
    assert install(checkout, "recipes").returncode == 0
    assert "pip install" in (checkout / "calls").read_text()


def test_install_without_a_recent_python_says_so(checkout):
    tools = checkout / "bin"
    fake_python(tools / "python3", 'test "$1" = --version && echo Python 3.9.1')
    (tools / "dirname").symlink_to(shutil.which("dirname") or "/usr/bin/dirname")
    run = install(checkout, "recipes", PATH=str(tools))
    assert run.returncode == 2
    assert "needs Python 3.11 or newer" in run.stderr
    assert "Python 3.9.1" in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert not (checkout / ".venv").exists()


def test_install_names_the_accepted_extras(checkout):
    run = install(checkout, "everything")
    assert run.returncode == 2
    assert "'everything'; accepted are recipes and test" in run.stderr
