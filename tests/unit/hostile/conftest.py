"""A folder for files from anybody, beside which nothing may appear."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ptu_seq import cli

Refuse = Callable[..., str]


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """What planted code would touch."""
    return tmp_path / "sprung"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder that was given to us."""
    folder = tmp_path / "given"
    folder.mkdir()
    return folder


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder of the user's own, in which nothing may change."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "kept.txt").write_bytes(b"mine")
    return folder


@pytest.fixture(autouse=True)
def nothing_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails if anything appeared outside the given folder, or the user was asked for leave."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("the user was asked"))
    yield
    assert {path.name for path in tmp_path.iterdir()} <= {"given", "mine"}
    own = tmp_path / "mine"
    left = {path.name: path.read_bytes() for path in own.rglob("*")} if own.exists() else {}
    assert left in ({}, {"kept.txt": b"mine"})


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Runs a command that must end with exit code 2, and gives the one line that it says."""

    def run(*words: str) -> str:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a film\n")))
        assert cli.main(words) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith("ptu-seq: ")
        return said

    return run
