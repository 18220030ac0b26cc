"""`ptu-seq run`: a recipe, or the list of them."""

from __future__ import annotations

import argparse
import ast
import runpy
import sys
from pathlib import Path
from typing import Any

from ptu_seq.errors import UserError, closest


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


def recipes() -> dict[str, Path]:
    """The recipes by name: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "recipes", package.parent / "recipes"):
        found = {path.stem: path for path in sorted(folder.glob("[!_]*.py"))}
        if found:
            return found
    return {}


def _run(arguments: argparse.Namespace) -> None:
    found = recipes()
    name = arguments.recipe
    if name is None:
        print("Recipes, each with flags of its own (ptu-seq run RECIPE --help):")
        for recipe, path in found.items():
            print(f"  {recipe:<26} {_summary(path)}")
        return
    if name not in found:
        accepted = ", ".join(found) or "none, as this installation holds no recipes"
        raise UserError(f"no recipe is named {name!r}{closest(name, found)}; accepted: {accepted}.")
    path = found[name]
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
