"""Limits on how many of our functions and files a typical operation enters."""

import re
import subprocess
import sys

import pytest

from local.supervisor import ROOT

LIMITS = {
    "assignment callback": (40, 12),
    "accept over REST": (50, 13),
    "Task, callback, accept in the simulator": (100, 24),
}
LINE = re.compile(r"^(\S.*): (\d+) functions in (\d+) files, \d+ returns$", re.MULTILINE)


@pytest.fixture(scope="module")
def report():
    """The report of a process of its own, because the tracer replaces the profile function."""
    return subprocess.run(
        [sys.executable, "-m", "tests.reading_paths", "--verbose"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


@pytest.mark.parametrize("operation", LIMITS)
def test_an_operation_enters_few_functions_and_files(report, operation):
    entered = {
        name: (int(functions), int(files)) for name, functions, files in LINE.findall(report)
    }
    assert entered.keys() == LIMITS.keys()
    functions, files = entered[operation]
    max_functions, max_files = LIMITS[operation]
    assert functions <= max_functions, report
    assert files <= max_files, report
