"""A pytest plugin that records which statements each test executes.

Tracing with the standard library of Python 3.11 would cover every line of every package and make
the tests many times slower. Instead, a call that records the statement is inserted before each
statement in the functions of the observed files.
"""

import ast
import builtins
import json
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings

from tests.mutants import import_hook
from tests.mutants.places import Function

OUTPUT = "MUTANTS_COVERAGE"
"""The environment variable for the folder in which each test process saves its results."""

OBSERVED = "MUTANTS_OBSERVED"
"""The environment variable that lists the observed files, separated by `os.pathsep`."""

_RECORD = "__mutants_record__"

Statement = tuple[str, int]
"""A file and the first line of a statement."""


def observe(content: bytes, file: str) -> ast.Module:
    """Return the module with a recording call before each statement in a function."""
    tree = ast.parse(content)
    for function in ast.walk(tree):
        if isinstance(function, Function):
            has_docstring = ast.get_docstring(function, clean=False) is not None
            docstring, body = function.body[:has_docstring], function.body[has_docstring:]
            function.body = docstring + _observe_block(body, file)
    return ast.fix_missing_locations(tree)


def _observe_block(block: list[ast.stmt], file: str) -> list[ast.stmt]:
    observed: list[ast.stmt] = []
    for statement in block:
        _observe_inner_blocks(statement, file)
        call = ast.parse(f"{_RECORD}(({file!r}, {statement.lineno}))").body[0]
        for node in ast.walk(call):
            if "lineno" in node._attributes:
                ast.copy_location(node, statement)
        observed += [call, statement]
    return observed


def _observe_inner_blocks(statement: ast.AST, file: str) -> None:
    if isinstance(statement, Function | ast.Lambda | ast.ClassDef):
        return  # `observe` visits every function
    for name, value in ast.iter_fields(statement):
        if isinstance(value, list) and value:
            if isinstance(value[0], ast.stmt):
                setattr(statement, name, _observe_block(value, file))
            elif isinstance(value[0], ast.ExceptHandler | ast.match_case):
                for part in value:
                    _observe_inner_blocks(part, file)


class Recorder:
    """Records the CPU time and the executed statements of each test."""

    def __init__(self) -> None:
        self.executed: set[Statement] = set()
        self._tests: dict[str, tuple[float, set[Statement]]] = {}
        self._at_import: set[Statement] = set()
        self._fixtures: dict[int, set[Statement]] = {}
        self._not_passed: set[str] = set()

    def pytest_collection_finish(self) -> None:
        self._at_import = set(self.executed)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        self.executed.clear()
        started = time.process_time()
        result = yield
        # A shared fixture is set up during one test, but also affects the later tests that use it.
        fixtures = item._fixtureinfo.name2fixturedefs.values()  # type: ignore[attr-defined]
        shared = [
            self._fixtures.get(id(fixture), set())
            for definitions in fixtures
            for fixture in definitions
        ]
        seconds = time.process_time() - started
        self._tests[item.nodeid] = seconds, self.executed.union(*shared)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[Any]:
        before = set(self.executed)
        self.executed.clear()
        try:
            return (yield)
        finally:
            if fixturedef.scope != "function":
                self._fixtures[id(fixturedef)] = set(self.executed)
            self.executed |= before

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self._not_passed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        """Write the results, and the names of the imported modules."""
        passed = {name: test for name, test in self._tests.items() if name not in self._not_passed}
        statements = sorted(set().union(*(executed for _, executed in passed.values())))
        numbers = {statement: number for number, statement in enumerate(statements)}
        result = {
            "statements": statements,
            "tests": {
                name: [seconds, sorted(numbers[statement] for statement in executed)]
                for name, (seconds, executed) in passed.items()
            },
            "at_import": sorted(self._at_import),
            "not_passed": sorted(self._not_passed & self._tests.keys()),
            "modules": list(sys.modules),
        }
        if self._tests:  # pytest-xdist's main process runs no tests
            file = Path(os.environ[OUTPUT]) / f"{os.getpid()}.json"
            file.write_text(json.dumps(result), encoding="utf-8")


def repeat_examples() -> None:
    """Make Hypothesis choose the same examples each time, without shrinking failing examples."""
    settings.register_profile(
        "mutants",
        settings(),
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
    )
    settings.load_profile("mutants")


if OUTPUT in os.environ:
    # pytest imports this module before it imports conftest.py and the observed files.
    _recorder = Recorder()
    setattr(builtins, _RECORD, _recorder.executed.add)
    import_hook.install(
        {
            Path.cwd() / file: partial(observe, file=file)
            for file in os.environ[OBSERVED].split(os.pathsep)
        }
    )
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Tests that run pytest themselves do not need this plugin.
        del os.environ["PYTEST_PLUGINS"]


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Record the tests that this process runs."""
    repeat_examples()
    config.pluginmanager.register(_recorder)
