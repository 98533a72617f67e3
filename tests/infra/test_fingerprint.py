"""The fingerprint of a deployment changes with every input that affects the deployment."""

import json
from dataclasses import replace
from importlib import metadata

import pytest

from chalicelib.config import PROJECT
from infra.aws import capacity, chalice_record, fingerprint, policies, stage_config, template


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with a few files."""
    for name in (
        ".chalice/config.json",
        "app.py",
        "chalicelib/config.py",
        "chalicelib/domain/auth.py",
        "chalicelib/rules.toml",
        "infra/stage.yaml",
        "requirements.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((PROJECT / name).read_bytes())
    monkeypatch.setattr(fingerprint, "PROJECT", tmp_path)
    monkeypatch.setattr(template, "FILE", tmp_path / "infra" / "stage.yaml")
    monkeypatch.setattr(stage_config, "CONFIG", tmp_path / ".chalice" / "config.json")
    return tmp_path


def compute(concurrency=1_000):
    return fingerprint.compute(stage_config.read("dev", allow_empty_sids=True), concurrency)


def test_fingerprint_ignores_timestamps_and_bytecode_and_unpackaged_files(checkout):
    before = compute()
    for file in checkout.rglob("*"):
        file.touch()
    (checkout / "README.md").write_text("Not packaged.")
    (checkout / "chalicelib" / "__pycache__").mkdir()
    (checkout / "chalicelib" / "__pycache__" / "config.pyc").touch()

    assert compute() == before


@pytest.mark.parametrize(
    "name",
    [
        "app.py",
        "chalicelib/domain/auth.py",
        "chalicelib/rules.toml",
        "chalicelib/new.py",
        "vendor/package/module.py",
        "requirements.txt",
        "infra/stage.yaml",
    ],
)
def test_changed_or_added_file_changes_the_fingerprint(checkout, name):
    before = compute()
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    with (checkout / name).open("a") as file:
        file.write("\n# changed\n")

    assert compute() != before


def test_renamed_file_changes_the_fingerprint(checkout):
    before = compute()
    (checkout / "chalicelib" / "config.py").rename(checkout / "chalicelib" / "settings.py")

    assert compute() != before


def change_stage(declared):
    declared["stages"]["dev"]["lambda_functions"]["sweep"]["lambda_timeout"] = 50


def change_setting(declared):
    declared["stages"]["dev"]["environment_variables"]["LOG_LEVEL"] = "DEBUG"


def change_project(declared):
    declared["environment_variables"] = {"CORS_ALLOW_ORIGIN": "*"}


@pytest.mark.parametrize("change", [change_stage, change_setting, change_project])
def test_changed_configuration_changes_the_fingerprint(checkout, change):
    before, declared = compute(), stage_config.project()
    change(declared)
    stage_config.CONFIG.write_text(json.dumps(declared))

    assert compute() != before


@pytest.mark.usefixtures("checkout")
def test_configuration_of_another_stage_does_not_change_the_fingerprint():
    before, declared = compute(), stage_config.project()
    declared["stages"]["prod"]["xray"] = False
    stage_config.CONFIG.write_text(json.dumps(declared))

    assert compute() == before


@pytest.mark.usefixtures("checkout")
def test_changed_concurrency_limit_changes_the_fingerprint():
    assert compute(1_000) == compute(1_000)
    assert len({compute(concurrency) for concurrency in (10, 100, 1_000, 2_000)}) == 4


def change_runtime(monkeypatch):
    monkeypatch.setattr(chalice_record, "lambda_runtime", lambda: "python3.99")


def change_chalice(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: f"another {name}")


def change_throttle(monkeypatch):
    throttle = replace(capacity.MAX_DEFAULT_THROTTLE, rate=51)
    monkeypatch.setattr(capacity, "MAX_DEFAULT_THROTTLE", throttle)


def change_policy(monkeypatch):
    monkeypatch.setattr(policies, "render", lambda stage: {"policies/dev-sweep.json": {}})


@pytest.mark.parametrize("change", [change_runtime, change_chalice, change_throttle, change_policy])
@pytest.mark.usefixtures("checkout")
def test_new_runtime_or_chalice_version_or_throttle_or_policy_changes_the_fingerprint(
    monkeypatch, change
):
    before = compute()
    change(monkeypatch)

    assert compute() != before
