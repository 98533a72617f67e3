"""The operator's commands on an AWS in memory: what they ask, refuse, and keep to themselves."""

import json
from types import SimpleNamespace

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws

from chalicelib.adapters.secrets import parse_secrets
from infra.__main__ import main
from infra.aws import session, stage_config
from infra.commands import deploy

NAME = "/taskrouter-callbacks/dev/secrets"
TOKEN, NEXT, SECRET = "token-of-today", "token-of-tomorrow", "secret-of-the-key"
KEY = "SK" + "1" * 32


@pytest.fixture
def config(tmp_path):
    """A config.json in which the stage dev has its SIDs."""
    whole = stage_config.project()
    whole["stages"]["dev"]["environment_variables"] |= {
        "TWILIO_ACCOUNT_SID": "AC" + "a" * 32,
        "TWILIO_WORKSPACE_SID": "WS" + "c" * 32,
        "TWILIO_WORKFLOW_SID": "WW" + "d" * 32,
    }
    config = tmp_path / ".chalice" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps(whole))
    return config


@pytest.fixture
def operator(config, monkeypatch):
    """Runs a command in an empty account."""
    monkeypatch.setattr(stage_config.environment, "__kwdefaults__", {"config": config})
    monkeypatch.setattr(stage_config.project, "__defaults__", (config,))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")

    def run(*arguments, says=None):
        return CliRunner().invoke(main, arguments, input=says)

    with mock_aws():
        yield run


def test_secrets_are_asked_for_written_encrypted_and_never_shown(operator):
    says = f"{TOKEN}\n{NEXT}\n\n{KEY}\n{SECRET}\n\n\n"

    result = operator("secrets", "put", "--stage", "dev", says=says)

    assert result.exit_code == 0, result.output
    for secret in (TOKEN, NEXT, SECRET):
        assert secret not in result.output
    parameter = boto3.client("ssm").get_parameter(Name=NAME, WithDecryption=True)["Parameter"]
    assert parameter["Type"] == "SecureString"
    written = parse_secrets(parameter["Value"])
    assert written.auth_tokens == (TOKEN, NEXT)
    assert written.api_keys == {KEY: SECRET}


def test_what_is_no_secrets_is_not_written_and_not_shown(operator):
    junk = json.dumps({"auth_tokens": TOKEN})

    result = operator("secrets", "put", "--stage", "dev", "--stdin", says=junk)

    assert result.exit_code == 1
    assert "must be JSON with auth_tokens" in result.output
    assert TOKEN not in result.output
    assert boto3.client("ssm").describe_parameters()["Parameters"] == []


def test_nothing_is_made_before_the_secrets_are_there(operator):
    result = operator("deploy", "--stage", "dev", "--any-python")

    assert result.exit_code == 1
    assert "python -m infra secrets put --stage dev" in result.output
    assert boto3.client("dynamodb").list_tables()["TableNames"] == []


def in_secrets_manager(config):
    whole = json.loads(config.read_text())
    name = "/aws/reference/secretsmanager/twilio/dev"
    whole["stages"]["dev"]["environment_variables"]["SECRETS_PARAMETER"] = name
    config.write_text(json.dumps(whole))


def test_a_secret_of_secrets_manager_is_found(operator, config):
    in_secrets_manager(config)
    boto3.client("secretsmanager").create_secret(Name="twilio/dev", SecretString="{}")

    assert deploy.must_have_secrets(session.here(), stage_config.read("dev")) is None


def test_a_secret_of_secrets_manager_that_is_not_there_is_to_be_written_there(operator, config):
    in_secrets_manager(config)

    result = operator("prepare", "--stage", "dev")

    assert result.exit_code == 1
    assert "Write the secret in Secrets Manager" in result.output
    assert "secrets put" not in result.output


@pytest.mark.parametrize("command", [["deploy"], ["package", "out"]])
def test_another_python_than_that_of_the_functions_is_refused(operator, monkeypatch, command):
    older = SimpleNamespace(version_info=SimpleNamespace(major=3, minor=11))
    monkeypatch.setattr(deploy, "sys", older)

    result = operator(*command, "--stage", "dev")

    assert result.exit_code == 1
    assert "would run on python3.11" in result.output
    assert "make PYTHON=python3.13 deploy" in result.output


@pytest.mark.parametrize(
    ("arguments", "says", "asked"),
    [
        (["destroy", "--stage", "dev"], "n\n", "but for its tables and secrets?"),
        (["destroy", "--stage", "dev", "--data"], "y\n", "Type the stage's name"),
    ],
)
def test_destroying_asks_and_takes_no_for_an_answer(operator, arguments, says, asked):
    boto3.client("ssm").put_parameter(Name=NAME, Value="kept", Type="String")

    result = operator(*arguments, says=says)

    assert result.exit_code == 1
    assert asked in result.output
    assert "Aborted!" in result.output
    assert boto3.client("ssm").get_parameter(Name=NAME)


@pytest.mark.parametrize("stage", ["local", "nowhere", "prod"])
def test_a_stage_that_can_t_be_deployed_says_why(operator, stage):
    why = {
        "local": "SETTINGS_DEFAULTS is for laptops",
        "nowhere": "There is no stage 'nowhere'",
        "prod": "TWILIO_ACCOUNT_SID is not set",
    }

    result = operator("deploy", "--stage", stage, "--any-python")

    assert result.exit_code == 1
    assert why[stage] in result.output


def test_a_log_level_that_would_silence_alarms_is_refused(operator, config):
    whole = json.loads(config.read_text())
    whole["stages"]["dev"]["environment_variables"]["LOG_LEVEL"] = "ERROR"
    config.write_text(json.dumps(whole))

    result = operator("deploy", "--stage", "dev", "--any-python")

    assert result.exit_code == 1
    assert "LOG_LEVEL must be DEBUG or INFO" in result.output


@pytest.mark.parametrize(
    ("prefix", "address", "good"),
    [
        ("/", "https://calls.example.com", True),
        ("taskrouter", "https://calls.example.com/taskrouter", True),
        ("/", "", False),
        ("/", "https://other.example.com", False),
        ("taskrouter", "https://calls.example.com", False),
    ],
)
def test_a_domain_and_the_address_that_signatures_are_checked_against_agree(
    operator, config, prefix, address, good
):
    whole = json.loads(config.read_text())
    whole["stages"]["dev"] |= {
        "api_gateway_custom_domain": {
            "domain_name": "calls.example.com",
            "certificate_arn": "arn:aws:acm:eu-west-1:111111111111:certificate/ours",
            "url_prefix": prefix,
        }
    }
    whole["stages"]["dev"]["environment_variables"]["PUBLIC_BASE_URL"] = address
    config.write_text(json.dumps(whole))

    result = operator("prepare", "--stage", "dev")

    assert result.exit_code == 1
    assert ("PUBLIC_BASE_URL must be https://calls.example.com" in result.output) is not good


def test_no_region_says_what_to_do(operator, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    result = operator("status", "--stage", "dev")

    assert result.exit_code == 1
    assert "export AWS_DEFAULT_REGION" in result.output
