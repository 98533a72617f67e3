"""In an emulated account, operator commands prompt, report errors and hide secrets."""

import json
import os
import re
from types import SimpleNamespace
from typing import NamedTuple
from unittest import mock

import boto3
import chalice.config as chalice_config
import click
import pytest
from click.testing import CliRunner
from moto import mock_aws

from chalicelib.adapters.secrets import parse_secrets
from infra.__main__ import main
from infra.aws import chalice_record, connect, stacks, stage_config
from infra.commands import destroy, logs, report_errors, secrets

PARAMETER = "/taskrouter-callbacks/dev/secrets"
TOKEN, NEXT_TOKEN, SECRET = "current-token", "next-token", "api-key-secret"
KEY = "SK" + "1" * 32


class Version(NamedTuple):
    major: int
    minor: int


@pytest.fixture
def config(tmp_path):
    """A config.json that sets the SIDs of stage dev."""
    project_config = stage_config.project()
    project_config["stages"]["dev"]["environment_variables"] |= {
        "TWILIO_ACCOUNT_SID": "AC" + "a" * 32,
        "TWILIO_WORKSPACE_SID": "WS" + "c" * 32,
        "TWILIO_WORKFLOW_SID": "WW" + "d" * 32,
    }
    config = tmp_path / ".chalice" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps(project_config))
    return config


@pytest.fixture
def run_command(config, monkeypatch):
    """A function that runs a command in an empty emulated AWS account."""
    monkeypatch.setattr(stage_config, "CONFIG", config)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    # moto's CloudFormation needs packages that are not installed.
    monkeypatch.setattr(stacks, "find_other_owner", lambda *_: None)

    def run(*arguments, stdin=None):
        return CliRunner().invoke(main, arguments, input=stdin)

    # Some commands add the stage's variables to the environment.
    with mock.patch.dict(os.environ), mock_aws():
        yield run


def test_entered_secrets_are_stored_encrypted_and_never_shown(run_command, monkeypatch):
    monkeypatch.setattr(secrets, "is_terminal", lambda: True)
    stdin = f"{TOKEN}\n{NEXT_TOKEN}\n\n{KEY}\n{SECRET}\n\n\n"

    result = run_command("secrets", "put", "--stage", "dev", "--no-verify", stdin=stdin)

    assert result.exit_code == 0, result.output
    for secret in (TOKEN, NEXT_TOKEN, SECRET):
        assert secret not in result.output
    parameter = boto3.client("ssm").get_parameter(Name=PARAMETER, WithDecryption=True)["Parameter"]
    assert parameter["Type"] == "SecureString"
    written = parse_secrets(parameter["Value"])
    assert written.auth_tokens == (TOKEN, NEXT_TOKEN)
    assert written.api_keys == {KEY: SECRET}


def test_secrets_put_command_does_not_prompt_outside_a_terminal(run_command):
    result = run_command("secrets", "put", "--stage", "dev", stdin="")

    assert result.exit_code == 1
    assert result.output == (
        "Error: The secrets can be entered only in a terminal; use --stdin to read them as JSON "
        "from standard input.\n"
    )


def test_malformed_secrets_are_neither_written_nor_shown(run_command):
    malformed = json.dumps({"auth_tokens": TOKEN})

    result = run_command("secrets", "put", "--stage", "dev", "--stdin", stdin=malformed)

    assert result.exit_code == 1
    assert "must be a JSON object with auth_tokens" in result.output
    assert TOKEN not in result.output
    assert boto3.client("ssm").describe_parameters()["Parameters"] == []


def test_secrets_that_are_not_utf_8_are_not_written(run_command):
    text = json.dumps({"auth_tokens": [TOKEN], "api_keys": {KEY: SECRET}})

    result = run_command("secrets", "put", "--stage", "dev", "--stdin", stdin=text.encode("utf-16"))

    assert result.exit_code == 1
    assert "Save the file with the secrets as UTF-8." in result.output
    assert boto3.client("ssm").describe_parameters()["Parameters"] == []


def test_secrets_are_stored_without_a_byte_order_mark(run_command):
    text = json.dumps({"auth_tokens": [TOKEN], "api_keys": {KEY: SECRET}})

    options = ["--stdin", "--no-verify"]
    result = run_command("secrets", "put", "--stage", "dev", *options, stdin=f"\ufeff{text}")

    assert result.exit_code == 0, result.output
    parameter = boto3.client("ssm").get_parameter(Name=PARAMETER, WithDecryption=True)["Parameter"]
    assert parameter["Value"] == text


def test_nothing_is_deployed_before_the_secrets_exist(run_command):
    result = run_command("deploy", "--stage", "dev")

    assert result.exit_code == 1
    assert "python -m infra secrets put --stage dev" in result.output
    assert boto3.client("dynamodb").list_tables()["TableNames"] == []


def test_file_that_cannot_be_written_is_reported_with_its_path():
    @report_errors
    def write():
        raise PermissionError(13, "Permission denied", "/checkout/.chalice")

    message = "^/checkout/.chalice can't be read or written: Permission denied.$"
    with pytest.raises(click.ClickException, match=message):
        write()


def test_closed_output_is_not_reported_as_an_error():
    @report_errors
    def write():
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        write()


@pytest.mark.parametrize("content", [[], None, {"stages": None}, {"stages": {"dev": None}}])
@pytest.mark.parametrize("command", [["deploy"], ["token", "--role", "supervisor"], ["status"]])
def test_config_of_the_wrong_shape_is_reported(run_command, config, command, content):
    config.write_text(json.dumps(content))

    result = run_command(*command, "--stage", "dev")

    assert result.exit_code == 1
    assert "Error: .chalice/config.json" in result.output


def use_secrets_manager(config):
    project_config = json.loads(config.read_text())
    name = "/aws/reference/secretsmanager/twilio/dev"
    project_config["stages"]["dev"]["environment_variables"]["SECRETS_PARAMETER"] = name
    config.write_text(json.dumps(project_config))


def test_existing_secrets_manager_secret_is_accepted(run_command, config):
    use_secrets_manager(config)
    boto3.client("secretsmanager").create_secret(Name="twilio/dev", SecretString="{}")

    assert secrets.exist(connect(), stage_config.read("dev"))


def test_error_for_a_missing_secret_says_to_create_it_in_secrets_manager(run_command, config):
    use_secrets_manager(config)

    result = run_command("prepare", "--stage", "dev")

    assert result.exit_code == 1
    assert "Create the secret in Secrets Manager" in result.output
    assert "secrets put" not in result.output


@pytest.mark.parametrize("command", [["deploy"], ["package", "out"]])
def test_python_version_without_a_lambda_runtime_is_refused(run_command, monkeypatch, command):
    for module in (chalice_record, chalice_config):
        monkeypatch.setattr(module, "sys", SimpleNamespace(version_info=Version(3, 99)))

    result = run_command(*command, "--stage", "dev")

    assert result.exit_code == 1
    assert "does not support the Lambda runtime python3.99" in result.output
    assert re.search(r"make PYTHON=python3\.\d\d setup", result.output)


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_python_version_with_a_lambda_runtime_is_accepted(monkeypatch, minor):
    version = Version(3, minor)
    for module in (chalice_record, chalice_config):
        monkeypatch.setattr(module, "sys", SimpleNamespace(version_info=version))

    assert chalice_record.lambda_runtime() == f"python3.{minor}"


@pytest.mark.parametrize(
    "since", ["", "15", "m", "15s", "-1m", "1.5h", "12345d", "٣m", "9" * 99 + "m"]
)
def test_logs_command_refuses_an_invalid_since_option(run_command, since):
    result = run_command("logs", "--stage", "dev", "--since", since)

    assert result.exit_code == 2
    assert "--since must be a number of at most 4 digits, followed by m, h or d" in result.output


@pytest.mark.parametrize(
    ("arguments", "answer", "question", "error"),
    [
        (["destroy"], "n\n", "except its tables and secrets?", "Not confirmed."),
        (["destroy", "--data"], "y\n", "Type the stage's name", "The name is not dev."),
    ],
)
def test_destroy_command_removes_nothing_without_confirmation(
    run_command, arguments, answer, question, error
):
    boto3.client("ssm").put_parameter(Name=PARAMETER, Value="kept", Type="String")

    result = run_command(*arguments, "--stage", "dev", stdin=answer)

    assert result.exit_code == 1
    assert "creates an API with a different URL. That deployment offers to change" in result.output
    assert "The subscriptions to the alarms are removed with their topic." in result.output
    assert question in result.output
    assert result.output.endswith(f"Error: {error} Nothing was removed.\n")
    assert boto3.client("ssm").get_parameter(Name=PARAMETER)


@pytest.mark.parametrize(
    "arguments", [["destroy"], ["destroy", "--data"], ["erase", "WR" + "1" * 32]], ids=" ".join
)
def test_error_for_unconfirmed_removal_without_a_terminal_names_the_yes_option(
    run_command, arguments
):
    result = run_command(*arguments, "--stage", "dev", stdin="")

    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == (
        "Error: The input ended before you confirmed. Without a terminal, confirm in advance: "
        f"python -m infra {arguments[0]} ... --yes"
    )
    assert "Aborted!" not in result.output


@pytest.mark.parametrize("name", ["old", "dev2"])
@pytest.mark.parametrize("options", [[], ["--yes"], ["--data", "--yes"]])
def test_error_for_an_undeclared_stage_says_how_to_destroy_the_stage(run_command, name, options):
    result = run_command("destroy", "--stage", name, *options)

    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.startswith(f"Error: There is no stage '{name}' in config.json. Declared stages: ")
    assert "restore its entry in the file, for example from Git, and run this command" in line


def test_destroy_command_mentions_a_custom_domain_instead_of_twilio():
    settings = SimpleNamespace(public_base_url="https://calls.example.com")

    described = destroy._describe_next_deployment(SimpleNamespace(settings=settings))

    assert "Afterward, point https://calls.example.com to that API." in described
    assert "Twilio" not in described


@pytest.mark.parametrize(("options", "exit_code"), [(["--follow"], 0), ([], 1)])
def test_interrupted_logs_command_succeeds_only_with_the_follow_option(
    run_command, monkeypatch, options, exit_code
):
    monkeypatch.setattr(logs, "_lines", mock.Mock(side_effect=KeyboardInterrupt))

    assert run_command("logs", "--stage", "dev", *options).exit_code == exit_code


@pytest.mark.parametrize("stage", ["local", "missing", "prod"])
def test_error_for_an_undeployable_stage_states_the_reason(run_command, stage):
    reasons = {
        "local": "SETTINGS_DEFAULTS is for local use",
        "missing": "There is no stage 'missing'",
        "prod": "Stage prod: TWILIO_ACCOUNT_SID, TWILIO_WORKSPACE_SID, TWILIO_WORKFLOW_SID",
    }

    result = run_command("deploy", "--stage", stage)

    assert result.exit_code == 1
    assert reasons[stage] in result.output


def test_log_level_that_silences_alarms_is_refused(run_command, config):
    project_config = json.loads(config.read_text())
    project_config["stages"]["dev"]["environment_variables"]["LOG_LEVEL"] = "ERROR"
    config.write_text(json.dumps(project_config))

    result = run_command("deploy", "--stage", "dev")

    assert result.exit_code == 1
    assert "LOG_LEVEL must be DEBUG or INFO" in result.output


@pytest.mark.parametrize(
    ("prefix", "base_url", "valid"),
    [
        ("/", "https://calls.example.com", True),
        ("taskrouter", "https://calls.example.com/taskrouter", True),
        ("/", "", False),
        ("/", "https://other.example.com", False),
        ("taskrouter", "https://calls.example.com", False),
    ],
)
def test_public_base_url_must_match_the_custom_domain(run_command, config, prefix, base_url, valid):
    project_config = json.loads(config.read_text())
    project_config["stages"]["dev"] |= {
        "api_gateway_custom_domain": {
            "domain_name": "calls.example.com",
            "certificate_arn": "arn:aws:acm:eu-west-1:111111111111:certificate/example",
            "url_prefix": prefix,
        }
    }
    project_config["stages"]["dev"]["environment_variables"]["PUBLIC_BASE_URL"] = base_url
    config.write_text(json.dumps(project_config))

    result = run_command("prepare", "--stage", "dev")

    assert result.exit_code == 1
    # With a valid setting, the command fails later because the secrets do not exist.
    assert ("PUBLIC_BASE_URL must be https://calls.example.com" in result.output) is not valid


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_LAMBDA"])
@pytest.mark.parametrize(
    "url", ["localhost:4566", "http://", "http://a b", "http://x:99999", "http://[", "ftp://x"]
)
def test_error_for_a_malformed_endpoint_url_mentions_the_variable(
    run_command, monkeypatch, name, url
):
    monkeypatch.setenv(name, url)

    result = run_command("status", "--stage", "dev")

    assert result.exit_code == 1
    message = f"{name} must be a URL such as http://127.0.0.1:4566."
    assert result.output == f"Error: {message}\n"


@pytest.mark.parametrize("region", ["mars", "eu-west1", "EU-WEST-1", "eu-west-1a"])
def test_error_for_an_unknown_region_mentions_the_variable(run_command, monkeypatch, region):
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)

    result = run_command("status", "--stage", "dev")

    assert result.exit_code == 1
    assert result.output == (
        "Error: AWS_DEFAULT_REGION, or the region of the AWS profile, must be an AWS region such "
        f"as eu-west-1, not '{region}'.\n"
    )


def test_unreachable_endpoint_is_reported_with_the_variables_that_select_it(monkeypatch):
    variables = {
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_MAX_ATTEMPTS": "1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    @report_errors
    def call():
        connect()

    with pytest.raises(click.ClickException) as error:
        call()
    assert error.value.message == (
        "AWS at http://127.0.0.1:1 can't be reached: connection refused. Check the network, "
        "AWS_DEFAULT_REGION (or the region of the AWS profile) and, if set, AWS_ENDPOINT_URL."
    )


def test_error_for_a_missing_region_shows_the_remedy(run_command, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    result = run_command("status", "--stage", "dev")

    assert result.exit_code == 1
    assert "export AWS_DEFAULT_REGION" in result.output
