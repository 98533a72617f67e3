"""No command deploys invalid rules."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from local.supervisor import ROOT
from tests.infra.packaging import package

INVALID = '[[rule]]\nname = "vip"\nwhen = "task.vip == true"\ninstruction = "accept"\n'
VALID = INVALID.replace("true", "`true`")
NO_AWS = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_MAX_ATTEMPTS": "1",
}
MESSAGE = (
    'rule "vip": "when" uses true as a field name: write the literal in backticks, as in `true`.'
)
CHALICE = ["-c", "from chalice.cli import main; raise SystemExit(main())"]
INFRA = ["-m", "infra"]
COMMANDS = {
    "chalice deploy": [*CHALICE, "deploy", "--stage", "dev"],
    "chalice package": [*CHALICE, "package", "--stage", "dev", "out"],
    "infra deploy": [*INFRA, "deploy", "--stage", "dev"],
    "infra prepare": [*INFRA, "prepare", "--stage", "dev"],
    "infra package": [*INFRA, "package", "--stage", "dev", "out"],
}


@pytest.fixture
def checkout_and_run(tmp_path):
    """A checkout, and a function that runs a command there without access to AWS."""
    for name in ("chalicelib", "infra"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("app.py", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)

    def run(*arguments, **settings):
        config = json.loads((ROOT / ".chalice" / "config.json").read_text())
        config["stages"]["dev"]["environment_variables"] |= settings | {
            "TWILIO_ACCOUNT_SID": "AC" + "a" * 32,
            "TWILIO_WORKSPACE_SID": "WS" + "c" * 32,
            "TWILIO_WORKFLOW_SID": "WW" + "d" * 32,
        }
        (tmp_path / ".chalice").mkdir(exist_ok=True)
        (tmp_path / ".chalice" / "config.json").write_text(json.dumps(config))
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=os.environ | NO_AWS,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return tmp_path, run


@pytest.mark.parametrize("command", COMMANDS)
def test_invalid_rules_are_refused(checkout_and_run, command):
    checkout, run = checkout_and_run
    (checkout / "chalicelib" / "rules.toml").write_text(INVALID)

    completed = run(*COMMANDS[command])

    assert completed.returncode != 0
    assert f"chalicelib/rules.toml: {MESSAGE}" in completed.stderr
    assert not (checkout / "out" / "sam.json").exists()


@pytest.mark.parametrize("command", ["chalice package", "infra package"])
def test_invalid_rules_in_the_configured_file_of_a_stage_are_refused(checkout_and_run, command):
    checkout, run = checkout_and_run
    (checkout / "chalicelib" / "rules-dev.toml").write_text(INVALID)

    completed = run(*COMMANDS[command], RULES_FILE="chalicelib/rules-dev.toml")

    assert completed.returncode != 0
    assert f"chalicelib/rules-dev.toml: {MESSAGE}" in completed.stderr


@pytest.mark.parametrize("name", ["rules.toml", "../rules.toml", "chalicelib/../rules.toml"])
def test_rules_outside_the_package_are_refused(checkout_and_run, name):
    checkout, run = checkout_and_run
    (checkout / "rules.toml").write_text("")

    completed = run(*COMMANDS["infra deploy"], RULES_FILE=name)

    assert completed.returncode == 1
    assert completed.stderr.endswith(
        "RULES_FILE must name a file in chalicelib/, "
        "because rules files elsewhere are not deployed.\n"
    )


def test_rules_are_packaged_and_loaded_from_the_package(tmp_path):
    packaged = package(tmp_path, "dev")
    bundle = tmp_path / "bundle"
    with zipfile.ZipFile(tmp_path / "out" / "deployment.zip") as zipped:
        zipped.extractall(bundle)
    (bundle / "chalicelib" / "rules.toml").write_text(VALID)
    api = packaged.sam["Resources"]["APIHandler"]["Properties"]

    program = "from chalicelib import runtime; print(runtime.current().rules.rules[0].name)"
    completed = subprocess.run(
        [sys.executable, "-c", program],
        cwd=bundle,
        env=os.environ | NO_AWS | api["Environment"]["Variables"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.stdout == "vip\n", completed.stderr


def test_importing_the_app_outside_chalice_commands_does_not_read_the_rules(checkout_and_run):
    checkout, run = checkout_and_run
    (checkout / "chalicelib" / "rules.toml").write_text(INVALID)
    assert run("-c", "import app").returncode == 0


def test_sweep_function_loads_on_lambda_despite_invalid_rules(checkout_and_run, monkeypatch):
    checkout, run = checkout_and_run
    (checkout / "chalicelib" / "rules.toml").write_text(INVALID)
    config = json.loads((ROOT / ".chalice" / "config.json").read_text())
    for name, value in config["stages"]["dev"]["environment_variables"].items():
        monkeypatch.setenv(name, value)
    for resource, prefix in (("ACCOUNT", "AC"), ("WORKSPACE", "WS"), ("WORKFLOW", "WW")):
        monkeypatch.setenv(f"TWILIO_{resource}_SID", prefix + "a" * 32)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "sweep")

    completed = run("-c", "import app; print(app.sweep)")

    assert completed.returncode == 0, completed.stderr
    assert MESSAGE.replace('"', r"\"") in completed.stdout
