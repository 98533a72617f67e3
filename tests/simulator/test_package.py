"""The simulator installed by itself: nothing that it needs is left behind."""

import ast
import re
import sys
import tomllib
from pathlib import Path

SIMULATOR = Path(__file__).parents[2] / "taskrouter_simulator"
PROJECT = tomllib.loads((SIMULATOR / "pyproject.toml").read_text(encoding="utf-8"))
BUILT = {"build", "taskrouter_simulator.egg-info", "__pycache__"}


def files():
    every = (one.relative_to(SIMULATOR) for one in SIMULATOR.rglob("*") if one.is_file())
    return [one for one in every if not BUILT & set(one.parts)]


def test_every_folder_with_code_is_in_the_package():
    folders = {one.parent for one in files() if one.suffix == ".py"}
    named = {".".join(("taskrouter_simulator", *one.parts)) for one in folders}
    assert named == set(PROJECT["tool"]["setuptools"]["packages"])


def test_every_file_that_is_no_code_is_in_the_package():
    packed = {SIMULATOR / "pyproject.toml"}
    for name, patterns in PROJECT["tool"]["setuptools"]["package-data"].items():
        folder = SIMULATOR.joinpath(*name.split(".")[1:])
        packed |= {path for pattern in patterns for path in folder.glob(pattern)}
    assert {SIMULATOR / one for one in files() if one.suffix != ".py"} == packed


def imported():
    """The top names of all modules that the code imports, with whether only tests need it."""
    for path in files():
        if path.suffix == ".py":
            tree = ast.parse((SIMULATOR / path).read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) else []
                yield from ((name.split(".")[0], path.name == "testing.py") for name in names)


def names(requirements):
    return {re.match("[a-z-]+", one).group() for one in requirements}


def test_what_the_code_imports_is_required_and_nothing_else():
    known = {*sys.stdlib_module_names, "taskrouter_simulator"}
    foreign = {(name, testing) for name, testing in imported() if name not in known}
    required = names(PROJECT["project"]["dependencies"])
    assert {name for name, testing in foreign if not testing} == required
    extra = names(PROJECT["project"]["optional-dependencies"]["testing"])
    assert {name for name, testing in foreign if testing} - required == extra
