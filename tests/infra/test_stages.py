import json

import pytest

from infra.aws import stage_config
from infra.errors import OperatorError


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.json"
    project = {
        "environment_variables": {"BOTH": "project", "PROJECT": "yes"},
        "stages": {"prod": {"environment_variables": {"BOTH": "stage"}}, "bare": {}},
    }
    path.write_text(json.dumps(project))
    return path


def test_a_stage_wins_over_the_project_and_the_shell_over_both(config):
    assert stage_config.environment("prod", {}, config=config) == {
        "BOTH": "stage",
        "PROJECT": "yes",
    }
    assert stage_config.environment("bare", {}, config=config)["BOTH"] == "project"
    assert stage_config.environment("prod", {"BOTH": "shell"}, config=config)["BOTH"] == "shell"


def test_a_stage_that_is_not_there_is_named_with_those_that_are(config):
    with pytest.raises(OperatorError, match="no stage 'dev' in config.json; it has: bare, prod"):
        stage_config.environment("dev", {}, config=config)


def test_a_file_that_is_no_json_is_named(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{")

    with pytest.raises(OperatorError, match=r"config\.json can't be read"):
        stage_config.environment("dev", {}, config=path)


def test_dev_and_prod_differ_in_their_names_only():
    declared = stage_config.project()["stages"]

    assert json.loads(json.dumps(declared["dev"]).replace("dev", "prod")) == declared["prod"]


def test_every_variable_is_a_text_as_lambda_wants_it():
    for declared in stage_config.project()["stages"].values():
        assert all(isinstance(value, str) for value in declared["environment_variables"].values())
