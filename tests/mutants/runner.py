"""Runs the tests of each mutant in processes forked after the libraries have been imported."""

import contextlib
import gc
import importlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

import click
import pytest

from tests.mutants import import_hook
from tests.mutants.coverage import repeat_examples
from tests.mutants.mutations import Mutation
from tests.mutants.places import Place
from tests.mutants.project import Project
from tests.mutants.selection import REPEATABLE, Coverage
from tests.mutants.source import Span

_POLL_SECONDS = 0.02
_MAX_BYTES = 8 * 1024**3
"""Address-space limit, which stops mutants that allocate memory endlessly."""

_BUDGET = 40.0
"""Maximum CPU seconds of tests per mutant. More tests would detect few additional mutants."""

_EXTRA_CPU_SECONDS = 8
"""CPU seconds for importing the test files, added to the limit of every process."""

_CRASHED = 70
"""The exit code of a process in which pytest raised an exception or did not start."""

_FIRST_BATCH = 4.0
"""CPU seconds after which the first batch of tests is full. A small batch imports few files."""


_CONTROL_SECONDS = 60.0
"""Estimate of the CPU seconds for importing all test files."""

_NO_MUTATION = Mutation("", 0, Span(0, 0), b"", "none", "", "", Place())


class Outcome(StrEnum):
    """The outcome of running a mutant's tests."""

    DETECTED = "detected"
    SURVIVED = "survived"
    NOT_COVERED = "not covered"


@dataclass(frozen=True)
class Result:
    """The outcome of a mutant.

    Attributes:
        mutation: the mutation.
        outcome: whether a test detected the mutant.
        detail: why the mutant was detected, such as the test that failed. If the mutant survived
            and some of its tests did not run, the number of tests that ran.
    """

    mutation: Mutation
    outcome: Outcome
    detail: str = ""


@dataclass
class _Batch:
    """Tests that run in one process, and the CPU time that they take without a mutation."""

    tests: list[str]
    cpu_seconds: float

    @property
    def wall_seconds(self) -> float:
        """Time limit to stop mutants that wait forever, with a margin for a busy machine."""
        return 300 + 20 * self.cpu_seconds


@dataclass
class _Running:
    mutation: Mutation
    later: list[_Batch]
    folder: Path
    ends_at: float
    detail_if_survived: str = ""


class Runner:
    """Runs several mutants at the same time.

    Args:
        project: the project.
        covered: the coverage recorded by a run of the tests without mutations.
        jobs: number of processes.
    """

    def __init__(self, project: Project, covered: Coverage, *, jobs: int) -> None:
        self._project = project
        self._covered = covered
        self._jobs = jobs
        self._running: dict[int, _Running] = {}

    def run(
        self, mutants: Iterable[Mutation], select: Callable[[Mutation], Sequence[str]]
    ) -> Iterator[Result]:
        """Run mutants, and yield each result as soon as the mutant has finished."""
        _import_libraries(self._covered.modules, self._project.root)
        with tempfile.TemporaryDirectory() as folder, self._stopping():
            self._run_without_mutation(Path(folder) / "control")
            for number, mutation in enumerate(mutants):
                tests = select(mutation)
                if not tests:
                    yield Result(mutation, Outcome.NOT_COVERED)
                    continue
                while len(self._running) >= self._jobs:
                    yield from self._wait()
                batches = self._batches(tests)
                count = sum(len(batch.tests) for batch in batches)
                detail = f"{count} of {len(tests)} tests" if count < len(tests) else ""
                self._start(mutation, batches, Path(folder) / str(number), detail)
            while self._running:
                yield from self._wait()

    def _run_without_mutation(self, folder: Path) -> None:
        """Verify that one test from each file passes in a forked process."""
        fastest: dict[str, str] = {}
        for test in sorted(self._covered.seconds, key=self._covered.seconds.__getitem__):
            fastest.setdefault(test.partition("::")[0], test)
        seconds = sum(self._covered.seconds[test] for test in fastest.values())
        batch = _Batch(list(fastest.values()), _CONTROL_SECONDS + seconds)
        self._start(_NO_MUTATION, [batch], folder)
        while self._running:
            for result in self._wait():
                if result.outcome is not Outcome.SURVIVED:
                    raise click.ClickException(
                        f"The tests fail without a mutation: {result.detail}"
                    )

    def _batches(self, tests: Sequence[str]) -> list[_Batch]:
        """Divide the tests that fit into the budget into a small first batch and a second batch.

        Half of the budget is for the most relevant tests, half for as many others as possible.
        """
        relevant = self._affordable(tests, _BUDGET / 2) or list(tests[:1])
        spent = sum(self._covered.seconds[test] for test in relevant)
        others = sorted(set(tests).difference(relevant), key=self._covered.seconds.__getitem__)
        chosen = {*relevant, *self._affordable(others, _BUDGET - spent)}
        batches: list[_Batch] = []
        total = 0.0
        for test in tests:
            if test not in chosen:
                continue
            if not batches or (len(batches) == 1 and total > _FIRST_BATCH):
                batches.append(_Batch([], 0.0))
            seconds = self._covered.seconds[test]
            total += seconds
            batches[-1].tests.append(test)
            batches[-1].cpu_seconds += seconds
        return batches

    def _affordable(self, tests: Iterable[str], budget: float) -> list[str]:
        """Return the tests that fit into a budget of CPU seconds, in the given order."""
        chosen = []
        for test in tests:
            seconds = self._covered.seconds[test]
            if seconds <= budget:
                budget -= seconds
                chosen.append(test)
        return chosen

    def _start(
        self, mutation: Mutation, batches: list[_Batch], folder: Path, detail: str = ""
    ) -> None:
        batch, *later = batches
        folder.mkdir()
        pid = os.fork()
        if pid == 0:
            _run_tests(self._project, mutation, batch, folder)
        ends_at = time.monotonic() + batch.wall_seconds
        self._running[pid] = _Running(mutation, later, folder, ends_at, detail)

    def _wait(self) -> Iterator[Result]:
        """Poll the processes once; yield the results of the mutants that have finished."""
        time.sleep(_POLL_SECONDS)
        for pid, running in list(self._running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended or time.monotonic() > running.ends_at:
                self._stop(pid, is_running=not ended)
                result = _result(running, status if ended else None)
                shutil.rmtree(running.folder, ignore_errors=True)
                if result.outcome is Outcome.SURVIVED and running.later:
                    self._start(
                        running.mutation, running.later, running.folder, running.detail_if_survived
                    )
                else:
                    yield result

    def _stop(self, pid: int, *, is_running: bool) -> None:
        """Stop a process and the processes that its tests started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        if is_running:
            os.waitpid(pid, 0)
        del self._running[pid]

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[None]:
        try:
            yield
        finally:
            for pid in list(self._running):
                self._stop(pid, is_running=True)


def _result(running: _Running, status: int | None) -> Result:
    """Return the result of a process.

    Args:
        running: the process.
        status: the process's wait status; None if the process exceeded the time limit.
    """
    reason = running.folder / "reason"
    if reason.exists():
        return Result(running.mutation, Outcome.DETECTED, reason.read_text(encoding="utf-8"))
    if status is None:
        return Result(running.mutation, Outcome.DETECTED, "time limit")
    if os.WIFSIGNALED(status):
        detail = signal.Signals(os.WTERMSIG(status)).name  # SIGXCPU at the CPU time limit
        return Result(running.mutation, Outcome.DETECTED, detail)
    code = os.waitstatus_to_exitcode(status)
    if code in (_CRASHED, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERNAL_ERROR):
        output = (running.folder / "output").read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"The tests of this mutant did not run: {running.mutation}\n{output}")
    # If a mutant removes the values with which a test is parametrized, pytest collects no tests.
    if code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        return Result(running.mutation, Outcome.SURVIVED, running.detail_if_survived)
    return Result(running.mutation, Outcome.DETECTED, f"pytest ended with {code}")


def _import_libraries(modules: Iterable[str], root: Path) -> None:
    """Import the modules outside the project in the order in which the tests imported them."""
    own = {path.stem for path in (*root.glob("*.py"), *root.glob("*/"))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in modules:
            if name.partition(".")[0] not in own | {"__main__", "xdist", "execnet"}:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
    gc.collect()
    gc.freeze()


class _ChosenTests:
    """A pytest plugin that runs the chosen tests in the given order until one fails."""

    def __init__(self, tests: Sequence[str], folder: Path) -> None:
        self._order = {test: number for number, test in enumerate(tests)}
        self._reason = folder / "reason"

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        repeat_examples()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self._order]
        items[:] = sorted(chosen, key=lambda item: self._order[item.nodeid])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._end(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._end(report.nodeid)

    def _end(self, test: str) -> NoReturn:
        """End the process without tearing down fixtures, which would take time."""
        self._reason.write_text(test, encoding="utf-8")
        os._exit(pytest.ExitCode.TESTS_FAILED)


def _run_tests(project: Project, mutation: Mutation, batch: _Batch, folder: Path) -> NoReturn:
    """Run a mutant's tests in this forked process, and end the process."""
    code = _CRASHED
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _limit(resource.RLIMIT_CPU, int(_EXTRA_CPU_SECONDS + 2 * batch.cpu_seconds))
        _limit(resource.RLIMIT_AS, _MAX_BYTES)
        output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(project.root)
        import_hook.install({project.root / mutation.file: mutation.apply})
        files = dict.fromkeys(test.partition("::")[0] for test in batch.tests)
        options = [*REPEATABLE, *project.excluded, f"--basetemp={folder}/tests"]
        # pytest can't rewrite the assertions of plugins that are already imported.
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        code = pytest.main([*options, *files], plugins=[_ChosenTests(batch.tests, folder)])
    except BaseException:  # noqa: BLE001  # this process must not return to the runner
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _limit(kind: int, value: int) -> None:
    # The hard limit is higher, because a process at its hard CPU limit gets SIGKILL, not SIGXCPU.
    resource.setrlimit(kind, (value, value + 1))
