"""Stages declared in .chalice/config.json."""

import json

import pytest

from infra import OperatorError
from infra.aws import stage_config


@pytest.fixture
def config(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    project = {
        "environment_variables": {"LEVEL": "project", "PROJECT_ONLY": "yes"},
        "stages": {"prod": {"environment_variables": {"LEVEL": "stage"}}, "empty": {}},
    }
    path.write_text(json.dumps(project))
    monkeypatch.setattr(stage_config, "CONFIG", path)
    return path


@pytest.mark.usefixtures("config")
def test_shell_overrides_stage_and_stage_overrides_project():
    assert stage_config.environment("prod", {}) == {
        "LEVEL": "stage",
        "PROJECT_ONLY": "yes",
    }
    assert stage_config.environment("empty", {})["LEVEL"] == "project"
    assert stage_config.environment("prod", {"LEVEL": "shell"})["LEVEL"] == "shell"


@pytest.mark.usefixtures("config")
def test_error_for_unknown_stage_lists_declared_stages():
    message = "no stage 'dev' in config.json. Declared stages: empty, prod"
    with pytest.raises(OperatorError, match=message):
        stage_config.environment("dev", {})


def test_error_for_malformed_json_names_the_file(config):
    config.write_text("{")

    with pytest.raises(OperatorError, match=r"config\.json can't be read"):
        stage_config.environment("dev", {})


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"RETENTION_DAYS": 5}, "RETENTION_DAYS must be text, in quotation marks."),
        ({"PUBLIC_BASE_URL": None}, "PUBLIC_BASE_URL must be text, in quotation marks."),
        ([1], "environment_variables must be an object."),
    ],
)
def test_error_for_invalid_environment_variables_names_the_stage_and_the_problem(
    config, variables, problem
):
    config.write_text(json.dumps({"stages": {"dev": {"environment_variables": variables}}}))

    with pytest.raises(OperatorError, match=f"Stage dev in .chalice/config.json: {problem}"):
        stage_config.environment("dev", {})


def test_error_for_misspelled_stage_suggests_the_nearest_name(config):
    with pytest.raises(OperatorError, match=r"Declared stages: empty, prod\. Did you mean prod\?$"):
        stage_config.environment("prd", {})


def test_dev_and_prod_differ_only_in_names():
    stages = stage_config.project()["stages"]

    assert json.loads(json.dumps(stages["dev"]).replace("dev", "prod")) == stages["prod"]


def test_environment_variables_are_strings_as_lambda_requires():
    for stage in stage_config.project()["stages"].values():
        assert all(isinstance(value, str) for value in stage["environment_variables"].values())
