"""Stages in .chalice/config.json: their names, and the values that apply to them."""

import json

import pytest

from infra import OperatorError
from infra.aws import stage_config
from tests.infra.stage_config.committed import COMMITTED


@pytest.mark.usefixtures("config")
def test_shell_variables_override_stage_variables_which_override_project_variables():
    assert stage_config.environment("prod", {}) == {
        "RETENTION_DAYS": "20",
        "LOG_LEVEL": "DEBUG",
    }
    assert stage_config.environment("empty", {})["RETENTION_DAYS"] == "10"
    shell = {"RETENTION_DAYS": "30"}
    assert stage_config.environment("prod", shell)["RETENTION_DAYS"] == "30"


@pytest.mark.usefixtures("config")
def test_error_for_unknown_stage_lists_declared_stages():
    message = "no stage 'dev' in config.json. Declared stages: empty, prod"
    with pytest.raises(OperatorError, match=message):
        stage_config.environment("dev", {})


def test_error_for_misspelled_stage_suggests_the_nearest_name(config):
    with pytest.raises(OperatorError, match=r"Declared stages: empty, prod\. Did you mean prod\?$"):
        stage_config.environment("prd", {})


@pytest.mark.parametrize("name", ["my_stage", "a" * 17, "a" * 40, "production-eu-west", "dev/x"])
@pytest.mark.parametrize("allow_empty_sids", [True, False])
def test_invalid_stage_name_is_reported_before_missing_sids(config, name, allow_empty_sids):
    text = COMMITTED.replace('"dev"', json.dumps(name))
    config.write_text(text)

    with pytest.raises(OperatorError, match="name must be 1 to 16 letters, digits and hyphens"):
        stage_config.read(name, allow_empty_sids=allow_empty_sids)


def test_resource_names_for_the_longest_stage_name_are_within_aws_limits(config):
    name = "a" * stage_config._MAX_STAGE_NAME_LENGTH
    renamed = COMMITTED.replace('"dev"', json.dumps(name))
    config.write_text(renamed.replace("policies/dev-", f"policies/{name}-"))

    stage = stage_config.read(name, allow_empty_sids=True)

    # CloudFormation appends the bucket's logical ID and at most 13 characters to the stack's name.
    assert len(f"{stage.stack}-deployments-{'x' * 13}") == 63
    assert len(stage.stack) <= 128
    for handler in (stage_config.API, stage_config.SWEEP):
        assert len(stage.function(handler)) <= 64
        assert len(stage.role(handler)) <= 64
    assert len(stage.schedule) <= 64


def test_options_of_the_stage_are_read(config):
    declared = json.loads(COMMITTED)
    config.write_text(COMMITTED)
    default = stage_config.read("dev", allow_empty_sids=True)
    stage = declared["stages"]["dev"] | {"xray": False, "access_logs": True}
    stage["lambda_functions"]["sweep"]["reserved_concurrency"] = 5
    declared["stages"]["dev"] = stage | {"reserved_concurrency": 7}
    config.write_text(json.dumps(declared))
    changed = stage_config.read("dev", allow_empty_sids=True)

    options = ("xray", "access_logs", "reserved_concurrency", "reserved_sweep_concurrency")
    assert [getattr(default, option) for option in options] == [True, False, None, None]
    assert [getattr(changed, option) for option in options] == [False, True, 7, 5]


@pytest.mark.parametrize("stage", [{"xrays": True}, {"environment_variables": 5}, {"layers": "x"}])
def test_wrong_keys_and_values_of_another_stage_are_ignored(config, stage):
    declared = json.loads(COMMITTED)
    declared["stages"]["prod"] = stage
    config.write_text(json.dumps(declared))

    assert stage_config.environment("dev", {})


def test_dev_and_prod_differ_only_in_names():
    stages = stage_config.project()["stages"]

    assert json.loads(json.dumps(stages["dev"]).replace("dev", "prod")) == stages["prod"]


def test_environment_variables_are_strings_as_lambda_requires():
    for stage in stage_config.project()["stages"].values():
        assert all(isinstance(value, str) for value in stage["environment_variables"].values())
