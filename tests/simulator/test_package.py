"""The simulator's separate distribution package is complete."""

import ast
import re
import sys
import tomllib
from pathlib import Path

SIMULATOR = Path(__file__).parents[2] / "taskrouter_simulator"
PROJECT = tomllib.loads((SIMULATOR / "pyproject.toml").read_text(encoding="utf-8"))
DISTRIBUTIONS = {"jwt": "pyjwt"}
IMPORTED_BY_UVICORN = {"websockets"}
BUILD_OUTPUT = {"build", "taskrouter_simulator.egg-info", "__pycache__"}


def source_files():
    paths = (path.relative_to(SIMULATOR) for path in SIMULATOR.rglob("*") if path.is_file())
    return [path for path in paths if not BUILD_OUTPUT & set(path.parts)]


def test_every_package_is_included():
    folders = {path.parent for path in source_files() if path.suffix == ".py"}
    packages = {".".join(("taskrouter_simulator", *path.parts)) for path in folders}
    assert packages == set(PROJECT["tool"]["setuptools"]["packages"])


def test_every_data_file_is_included():
    included = {SIMULATOR / "pyproject.toml"}
    for name, patterns in PROJECT["tool"]["setuptools"]["package-data"].items():
        folder = SIMULATOR.joinpath(*name.split(".")[1:])
        included |= {path for pattern in patterns for path in folder.glob(pattern)}
    assert {SIMULATOR / path for path in source_files() if path.suffix != ".py"} == included


def imported_modules():
    """Yield each import's top-level name, and whether the import is in `testing.py`."""
    for path in source_files():
        if path.suffix == ".py":
            tree = ast.parse((SIMULATOR / path).read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) else []
                yield from ((name.split(".")[0], path.name == "testing.py") for name in names)


def package_names(requirements):
    return {re.match("[a-z-]+", text).group() for text in requirements}


def test_dependencies_match_imports():
    not_required = {*sys.stdlib_module_names, "taskrouter_simulator"}
    third_party = {
        (DISTRIBUTIONS.get(name, name), testing)
        for name, testing in imported_modules()
        if name not in not_required
    }
    required = package_names(PROJECT["project"]["dependencies"]) - IMPORTED_BY_UVICORN
    assert {name for name, testing in third_party if not testing} == required
    extra = package_names(PROJECT["project"]["optional-dependencies"]["testing"])
    assert {name for name, testing in third_party if testing} - required == extra
