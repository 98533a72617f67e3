"""The Makefile defines its variables, and its targets install only what they need."""

import os
import re
import shutil
import subprocess

import pytest

from local.supervisor import ROOT

# `make test` exports its own options, which would change the make commands below.
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
MAKE = shutil.which("make")
TARGETS = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)


def dry_run(*targets, path=os.environ["PATH"]):
    """Return the commands that make would run in a new checkout, and make's warnings."""
    command = [MAKE, "--dry-run", "--always-make", "--warn-undefined-variables", "STAGE=dev"]
    completed = subprocess.run(
        [*command, *targets],
        cwd=ROOT,
        env={**ENVIRON, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return completed.stdout, completed.stderr


def test_every_variable_is_defined():
    # If a list of prerequisites is undefined, make skips the installation without an error.
    _, warnings = dry_run(*TARGETS)

    assert "undefined variable" not in warnings


@pytest.mark.parametrize("target", ["deploy", "destroy"])
def test_missing_stage_is_reported_before_anything_is_installed(target):
    completed = subprocess.run(
        ["make", "--always-make", target, "STAGE="],
        cwd=ROOT,
        env=ENVIRON,
        capture_output=True,
        text=True,
        check=False,
    )

    assert completed.returncode == 2
    assert completed.stderr.startswith(f"STAGE is not set. Run: make {target} STAGE=dev\n")
    assert completed.stdout == ""


@pytest.mark.parametrize(
    ("target", "installed"),
    [
        ("setup-deploy", "requirements-deploy.txt"),
        ("deploy", "requirements-deploy.txt"),
        ("destroy", "requirements-deploy.txt"),
        ("run", "requirements-run.txt"),
        ("services", "requirements-run.txt"),
        ("demo", "requirements-run.txt"),
        ("test", "requirements-dev.txt"),
        ("check", "requirements-dev.txt"),
        ("bench", "requirements-bench.txt"),
    ],
)
def test_target_installs_only_what_it_needs(target, installed):
    commands, _ = dry_run(target)

    assert re.findall(r'echo "Installing (requirements\S+) into', commands) == [installed]


@pytest.mark.parametrize("has_npm", [True, False])
def test_slow_tests_install_the_tools_from_npm_only_if_npm_is_installed(tmp_path, has_npm):
    if has_npm:
        (tmp_path / "npm").touch(mode=0o755)
    commands, _ = dry_run("e2e", path=str(tmp_path))

    folders = ("prism", "browser-sdk", "oidc-provider")
    tools = ["twilio_taskrouter_v1.json", *(f".venv/{name} && npm ci" for name in folders)]
    assert [tool in commands for tool in tools] == [has_npm] * len(tools)
    assert '-m "slow and not alone"' in commands
