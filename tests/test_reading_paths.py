"""Limits on how many of our functions and files a typical operation enters."""

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
    # in a process of its own, because the tracer replaces the profile function of all threads
    report = subprocess.run(
        [sys.executable, "-m", "tests.reading_paths", "--verbose"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    ).stdout
    entered = {
        name: (int(functions), int(files)) for name, functions, files in LINE.findall(report)
    }

    assert entered.keys() == LIMITS.keys()
    too_long = {
        name: figures
        for name, figures in entered.items()
        if any(figure > limit for figure, limit in zip(figures, LIMITS[name], strict=True))
    }
    assert too_long == {}, report
