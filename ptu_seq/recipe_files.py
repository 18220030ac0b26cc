"""Where the recipes lie, and how one becomes a module."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from ptu_seq.errors import UserError, closest


def recipes() -> dict[str, Path]:
    """The recipes by name: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "recipes", package.parent / "recipes"):
        found = {path.stem: path for path in sorted(folder.glob("[!_]*.py"))}
        if found:
            return found
    return {}


def find_recipe(name: str) -> Path:
    """The file of a recipe.

    Raises:
        UserError: if there is none of that name.
    """
    found = recipes()
    if name not in found:
        accepted = ", ".join(found) or "none, as this installation holds no recipes"
        raise UserError(f"no recipe is named {name!r}{closest(name, found)}; accepted: {accepted}.")
    return found[name]


def load_recipe(name: str) -> ModuleType:
    """A recipe as a module, whether or not its folder is on the path.

    Raises:
        UserError: if there is none of that name.
    """
    path, module_name = find_recipe(name), f"recipes.{name}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    specification = importlib.util.spec_from_file_location(module_name, path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[module_name] = module  # where the types of its dataclasses are looked up
    specification.loader.exec_module(module)
    return module
