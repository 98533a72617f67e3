"""Chooses the tests that can detect a mutation."""

import ast
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click

from tests.mutants import coverage
from tests.mutants.coverage import Statement
from tests.mutants.mutations import Mutation
from tests.mutants.places import walk
from tests.mutants.project import Project
from tests.mutants.source import Source

# pytest-randomly sets this seed before each test, so every run uses the same random values.
REPEATABLE = ("-p", "no:cacheprovider", "--randomly-seed=1", "--randomly-dont-reorganize", "-q")

_WORD = re.compile(r"\w+")
_MAX_FILES_WITH_WORD = 5
"""A word is rare if at most this many test files contain it."""

_MAX_OWN_SECONDS = 4.0
"""Maximum CPU seconds of a test file that runs first because it is named after the module."""

CACHE = ".mutants"
"""The folder with the results of the tests without a mutation."""


@dataclass
class Coverage:
    """The results of the tests without a mutation.

    Attributes:
        seconds: the CPU time of each test that passed.
        tests: the tests that executed each statement.
        at_import: the statements of functions that ran when modules were imported, such as those
            of decorators.
        not_passed: the tests that failed or were skipped, which are not used.
        modules: the names of the modules that the tests imported, in order.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    tests: dict[Statement, set[str]] = field(default_factory=lambda: defaultdict(set))
    at_import: set[Statement] = field(default_factory=set)
    not_passed: list[str] = field(default_factory=list)
    modules: dict[str, None] = field(default_factory=dict)

    def add(self, file: Path) -> None:
        """Add the results of a process."""
        result = json.loads(file.read_text(encoding="utf-8"))
        statements = [(path, line) for path, line in result["statements"]]
        for name, (seconds, executed) in result["tests"].items():
            self.seconds[name] = seconds
            for number in executed:
                self.tests[statements[number]].add(name)
        self.at_import.update((path, line) for path, line in result["at_import"])
        self.not_passed += result["not_passed"]
        self.modules |= dict.fromkeys(result["modules"])


def covered_by_tests(project: Project, *, jobs: int) -> Coverage:
    """Return the coverage of the tests without a mutation; run them unless results are stored."""
    folder = project.root / CACHE / project.fingerprint()
    if not folder.exists():
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.parent.mkdir()
        with tempfile.TemporaryDirectory(dir=folder.parent) as output:
            _run_all(project, Path(output), jobs=jobs)
            shutil.copytree(output, folder)
    result = Coverage()
    for file in sorted(folder.iterdir()):
        result.add(file)
    return result


def _run_all(project: Project, output: Path, *, jobs: int) -> None:
    """Run all tests. Each test process writes its results to the folder *output*."""
    # Options and variables of an outer pytest would change the results.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    variables = {
        coverage.OUTPUT: str(output),
        coverage.OBSERVED: os.pathsep.join(project.observed_files()),
        "PYTEST_PLUGINS": coverage.__name__,
    }
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", *REPEATABLE, *project.excluded, *project.tests]
        command += ["-n", str(jobs), "--dist", "loadfile", f"--basetemp={folder}/tests"]
        completed = subprocess.run(
            command,
            cwd=project.root,
            env=environ | variables,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    if not any(output.iterdir()):
        raise click.ClickException(f"No test ran.\n{completed.stdout}")


class Selection:
    """The tests for each mutation.

    A statement outside functions runs only once, when the module is imported. A change to such a
    statement affects the functions and the test files that mention the names that it defines.
    """

    def __init__(self, project: Project, covered: Coverage) -> None:
        self._covered = covered
        self._mentions: dict[str, set[Statement]] = defaultdict(set)
        self._definitions: dict[str, set[str]] = defaultdict(set)
        self._tests_of_file: dict[str, set[str]] = defaultdict(set)
        for file in project.observed_files():
            self._read(file, (project.root / file).read_bytes())
        for (file, _), tests in covered.tests.items():
            self._tests_of_file[file] |= tests
        self._words: dict[str, set[str]] = defaultdict(set)
        self._tests_in: dict[str, list[str]] = defaultdict(list)
        for test in covered.seconds:
            self._tests_in[test.partition("::")[0]].append(test)
        for file in self._tests_in:
            for word in set(_WORD.findall((project.root / file).read_text(encoding="utf-8"))):
                self._words[word].add(file)

    def tests(self, mutation: Mutation) -> list[str]:
        """Return the tests, beginning with those most likely to detect the mutation."""
        executing = self._tests_executing(mutation)
        place = mutation.place
        if place.line is not None and (mutation.file, place.line) not in self._covered.at_import:
            return self._sorted(executing, mutation)
        names = place.names if place.line is None else place.function.split(".")
        mentioning = self._mentioning(names) or self._tests_of_file[mutation.file]
        return self._sorted(executing | mentioning, mutation)

    def _read(self, file: str, content: bytes) -> None:
        for _, node, _, place in walk(Source(content)):
            for name in _identifiers(node):
                if place.line is None:
                    self._definitions[name] |= place.names - {name}
                else:
                    self._mentions[name].add((file, place.line))

    def _mentioning(self, names: Iterable[str]) -> set[str]:
        """Return the tests whose files or executed statements mention the names.

        If a definition mentions a name, tests that mention the defined name are also returned.
        """
        pending, known, tests = list(names), set(names), set()
        while pending:
            name = pending.pop()
            tests |= self._tests_using(name)
            for file in self._words[name]:
                tests.update(self._tests_in[file])
            pending += self._definitions[name] - known
            known |= self._definitions[name]
        return tests

    def _tests_executing(self, mutation: Mutation) -> set[str]:
        """Return the tests during which the changed statement runs."""
        line = mutation.place.line
        return set() if line is None else self._covered.tests.get((mutation.file, line), set())

    def _tests_using(self, name: str) -> set[str]:
        """Return the tests that execute a statement in which this name occurs."""
        statements = self._mentions.get(name, ())
        return set().union(*(self._covered.tests.get(statement, ()) for statement in statements))

    def _sorted(self, tests: set[str], mutation: Mutation) -> list[str]:
        """Sort the tests by relevance and CPU time.

        Among the tests of the same relevance, those of a file stay together, because they share
        fixtures.
        """
        function = mutation.place.function.rpartition(".")[2]
        names = {function} if function else mutation.place.names
        related = set().union(*(self._words[name] for name in names))
        near = self._tests_executing(mutation).union(*map(self._tests_using, names))
        subjects = _subjects(mutation.file)
        seconds = self._covered.seconds
        files: dict[tuple[bool, str], list[str]] = defaultdict(list)
        for test in tests:
            files[test not in near, test.partition("::")[0]].append(test)

        # Test files that contain a rare word of the changed text probably test the change.
        changed = set(_WORD.findall(mutation.before)) ^ set(_WORD.findall(mutation.after))

        def rank(key: tuple[bool, str]) -> tuple[bool, float, bool, bool, float, str]:
            is_far, file = key
            is_own = any(subject in Path(file).stem for subject in subjects)
            total = sum(seconds[test] for test in files[key])
            spread = [len(self._words[word]) for word in changed if file in self._words[word]]
            rarity = min(spread, default=math.inf)
            return (
                not is_own or total > _MAX_OWN_SECONDS,
                rarity if rarity <= _MAX_FILES_WITH_WORD else math.inf,
                is_far,
                not is_own and file not in related,
                total,
                file,
            )

        return [
            test
            for key in sorted(files, key=rank)
            for test in sorted(files[key], key=lambda test: (seconds[test], test))
        ]


def _subjects(file: str) -> set[str]:
    """Return the names of a module and its package, which occur in the names of test files."""
    path = Path(file)
    return {path.stem, path.parent.name} - {"__init__", ""}


def _identifiers(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.keyword) and node.arg:
        yield node.arg
