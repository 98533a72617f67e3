"""Each example in docs/examples accepts a Task, if the example's language is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from taskrouter_simulator.testing import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
NODE_SDK = "twilio@6.2.0"
COMMANDS = {
    "python/accept_task.py": [sys.executable],
    "node/accept-task.mjs": ["node"],
    "java/AcceptTask.java": ["java"],
    "ruby/accept_task.rb": ["ruby"],
    "php/accept_task.php": ["php"],
}


def run(command, folder, **environment):
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_every_example_has_a_command():
    files = (path.relative_to(EXAMPLES) for path in EXAMPLES.glob("*/*") if path.is_file())
    assert {str(path) for path in files} == COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_example_accepts_a_task(name, tmp_path):
    program, *_ = command = COMMANDS[name]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    shutil.copy(EXAMPLES / name, tmp_path)
    if program == "node":
        run(["npm", "install", "--silent", "--no-audit", "--no-fund", NODE_SDK], tmp_path)
    with running() as simulator:
        output = run([*command, Path(name).name], tmp_path, SIMULATOR_URL=simulator.url)
    assert output == "assigned\n"
