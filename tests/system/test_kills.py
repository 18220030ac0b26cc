"""Recipes that are killed at random moments come to what undisturbed ones come to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "kill_check.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="process groups are killed")
@pytest.mark.parametrize("recipe", ["sentence_classification", "image_pair", "low_resource_mt"])
def test_a_killed_recipe_ends_as_if_it_never_was(recipe: str):
    command = [sys.executable, str(SCRIPT), "--kills=2", f"--recipes={recipe}", "--seed=1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    name, kills, *_, faults = ended.stdout.splitlines()[-1].split()
    assert (name, kills, faults) == (recipe, "2", "none")
