"""`ptu-seq run`: a recipe, or the list of them."""

from __future__ import annotations

import argparse
import ast
import runpy
import sys
from pathlib import Path
from typing import Any

from ptu_seq.recipe_files import find_recipe, recipes


def add(commands: Any) -> None:
    """Adds the parser; all that follows the recipe's name is `passed_on`."""
    run = commands.add_parser(
        "run",
        help="run a recipe, or list them",
        usage="ptu-seq run [RECIPE [ARGUMENTS...]]",
        description="Runs a recipe; all that follows its name goes to the recipe. "
        "`ptu-seq run` lists the recipes, `ptu-seq run RECIPE --help` explains one.",
    )
    run.add_argument("recipe", nargs="?", metavar="RECIPE", help="its name, without .py")
    run.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    name = arguments.recipe
    if name is None:
        print("Recipes, each with flags of its own (ptu-seq run RECIPE --help):")
        for recipe, path in recipes().items():
            print(f"  {recipe:<26} {_summary(path)}")
        return
    path = find_recipe(name)
    # As `python recipes/NAME.py ...` would: its folder first on the path, its words in sys.argv.
    argv, search_path = sys.argv, sys.path
    sys.argv, sys.path = [str(path), *arguments.passed_on], [str(path.parent), *sys.path]
    try:
        runpy.run_path(str(path), run_name="__main__")
    finally:
        sys.argv, sys.path = argv, search_path


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]
