"""Running a renamed module by its old name prints the new name."""

import subprocess
import sys

import pytest

from local.supervisor import ROOT


@pytest.mark.parametrize(
    ("old", "new"), [("simulator", "taskrouter_simulator"), ("chaos", "tests.chaos")]
)
def test_old_module_name_prints_the_new_name_and_fails(old, new):
    result = subprocess.run(
        [sys.executable, "-m", old], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == f"This module was renamed. Run `python -m {new}`.\n"
