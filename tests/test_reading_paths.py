"""Limits on the number of project functions and files that a typical operation enters."""

import re
import subprocess
import sys

from local.supervisor import ROOT

LIMITS = {
    "assignment callback": (40, 12),
    "accept over REST": (50, 13),
    "Task, callback, accept in the simulator": (100, 24),
}
LINE = re.compile(r"^(\S.*): (\d+) functions in (\d+) files, \d+ returns$", re.MULTILINE)


def test_operations_enter_few_functions_and_files():
    # Use a separate process, because the tracer replaces the profile function of all threads.
    report = subprocess.run(
        [sys.executable, "-m", "tests.reading_paths", "--verbose"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    ).stdout
    counts = {name: (int(functions), int(files)) for name, functions, files in LINE.findall(report)}

    assert counts.keys() == LIMITS.keys()
    too_long = {
        name: count
        for name, count in counts.items()
        if any(value > limit for value, limit in zip(count, LIMITS[name], strict=True))
    }
    assert too_long == {}, report
