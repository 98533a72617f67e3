"""`python -m local` reports mistakes before it starts any program."""

import os
import subprocess
import sys

import pytest

from local.supervisor import ROOT

WITHOUT_SERVICE_PACKAGES = """
import runpy, sys
for name in ("ministack", "uvicorn", "starlette", "aiohttp", "lark", "python_multipart"):
    sys.modules[name] = None
module, *sys.argv[1:] = sys.argv[1:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def run(*arguments, **environ):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["local", "run"],
        ["local", "services"],
        ["local", "dynamodb"],
        ["local", "demo"],
    ],
)
def test_missing_packages_are_reported_with_the_command_that_installs_them(arguments):
    result = run("-c", WITHOUT_SERVICE_PACKAGES, *arguments)

    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "uvicorn" in result.stderr
    assert "make services" in result.stderr
    assert "pip install -r requirements-run.txt" in result.stderr


@pytest.mark.parametrize("command", ["run", "services"])
def test_malformed_sweep_interval_is_reported_before_any_program_starts(command):
    result = run("-m", "local", command, SWEEP_EVERY_SECONDS="x")

    assert result.returncode == 1
    assert result.stderr == (
        "Error: SWEEP_EVERY_SECONDS must be a number of seconds greater than 0, not 'x'.\n"
    )
    assert not result.stdout
