"""Bad rules are not deployed, whichever command is asked to."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from local.supervisor import ROOT
from tests.infra.packaging import package

BAD = '[[rule]]\nname = "one"\nwhen = "task.vip == true"\ninstruction = "accept"\n'
GOOD = BAD.replace("true", "`true`")
NO_AWS = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_MAX_ATTEMPTS": "1",
}
SAID = 'rule "one": when uses true as a field name: write it between backticks, `true`.'
CHALICE = ["-c", "from chalice.cli import main; raise SystemExit(main())"]
INFRA = ["-m", "infra"]
COMMANDS = {
    "chalice deploy": [*CHALICE, "deploy", "--stage", "dev"],
    "chalice package": [*CHALICE, "package", "--stage", "dev", "out"],
    "infra deploy": [*INFRA, "deploy", "--stage", "dev", "--any-python"],
    "infra prepare": [*INFRA, "prepare", "--stage", "dev"],
    "infra package": [*INFRA, "package", "--stage", "dev", "--any-python", "out"],
}


@pytest.fixture
def run(tmp_path):
    """Returns the checkout, and what runs a command there: with no AWS to turn to."""
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
def test_bad_rules_are_refused(run, command):
    checkout, run = run
    (checkout / "chalicelib" / "rules.toml").write_text(BAD)

    done = run(*COMMANDS[command])

    assert done.returncode != 0
    assert f"chalicelib/rules.toml: {SAID}" in done.stderr
    assert not (checkout / "out" / "sam.json").exists()


@pytest.mark.parametrize("command", ["chalice package", "infra package"])
def test_a_stages_own_rules_are_those_that_count(run, command):
    checkout, run = run
    (checkout / "chalicelib" / "rules-dev.toml").write_text(BAD)

    done = run(*COMMANDS[command], RULES_FILE="chalicelib/rules-dev.toml")

    assert done.returncode != 0
    assert f"chalicelib/rules-dev.toml: {SAID}" in done.stderr


@pytest.mark.parametrize("name", ["rules.toml", "../rules.toml", "chalicelib/../rules.toml"])
def test_rules_that_would_not_be_deployed_are_refused(run, name):
    checkout, run = run
    (checkout / "rules.toml").write_text("")

    done = run(*COMMANDS["infra deploy"], RULES_FILE=name)

    assert done.returncode == 1
    assert done.stderr.endswith(
        "RULES_FILE must name a file in chalicelib/, because nothing else is deployed.\n"
    )


def test_the_rules_are_in_the_package_and_found_there(tmp_path):
    packaged = package(tmp_path, "dev")
    bundle = tmp_path / "bundle"
    with zipfile.ZipFile(tmp_path / "out" / "deployment.zip") as zipped:
        zipped.extractall(bundle)
    (bundle / "chalicelib" / "rules.toml").write_text(GOOD)
    api = packaged.sam["Resources"]["APIHandler"]["Properties"]

    program = "from chalicelib import runtime; print(runtime.current().rules.rules[0].name)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=bundle,
        env=os.environ | NO_AWS | api["Environment"]["Variables"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "one\n", done.stderr


def test_an_import_by_anything_else_reads_no_rules(run):
    checkout, run = run
    (checkout / "chalicelib" / "rules.toml").write_text(BAD)
    assert run("-c", "import app").returncode == 0


def test_on_lambda_bad_rules_do_not_stop_the_sweep_from_starting(run, monkeypatch):
    checkout, run = run
    (checkout / "chalicelib" / "rules.toml").write_text(BAD)
    config = json.loads((ROOT / ".chalice" / "config.json").read_text())
    for name, value in config["stages"]["dev"]["environment_variables"].items():
        monkeypatch.setenv(name, value)
    for kind, prefix in (("ACCOUNT", "AC"), ("WORKSPACE", "WS"), ("WORKFLOW", "WW")):
        monkeypatch.setenv(f"TWILIO_{kind}_SID", prefix + "a" * 32)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "sweep")

    done = run("-c", "import app; print(app.sweep)")

    assert done.returncode == 0, done.stderr
    assert SAID.replace('"', r"\"") in done.stdout
