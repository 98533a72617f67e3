"""Environment variables in .chalice/config.json: their names, values and levels."""

import json
from dataclasses import fields

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chalicelib.config import Settings
from infra import OperatorError
from infra.aws import config_file, secret_strings, stage_config
from tests.infra.stage_config.committed import COMMITTED, HEX, error_message

LANGUAGE = {"language": "es", "say": "x" * 600}
LONG_MENU = json.dumps(
    [{**LANGUAGE, "digit": str(digit), "default": digit == 0} for digit in range(7)]
)


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"RETENTION_DAYS": 5}, 'RETENTION_DAYS must be a string, for example "5".'),
        ({"PUBLIC_BASE_URL": None}, 'PUBLIC_BASE_URL must be a string, for example "'),
        ([1], "environment_variables must be an object of strings, for example {"),
    ],
)
def test_error_for_invalid_environment_variables_names_the_stage_and_the_problem(
    config, variables, problem
):
    config.write_text(json.dumps({"stages": {"dev": {"environment_variables": variables}}}))

    with pytest.raises(OperatorError, match=f"Stage dev in .chalice/config.json: {problem}"):
        stage_config.environment("dev", {})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("REJECT_AFTER_SECOND", " Did you mean REJECT_AFTER_SECONDS?"),
        ("log_level", " Did you mean LOG_LEVEL?"),
        ("TWILIO_WORKFLOWSID", " Did you mean TWILIO_WORKFLOW_SID?"),
        ("API_PORT", ""),
        ("X", ""),
    ],
)
def test_unknown_variable_is_refused(set_variables, name, hint):
    set_variables(**{name: "5"})

    assert error_message() == (
        f"{set_variables.prefix}{name}{set_variables.owner} is not a setting.{hint} See "
        "docs/settings.md."
    )


@pytest.mark.parametrize(
    ("value", "example"),
    [(5, "5"), (None, "30"), ([1], "30"), ({"a": "b"}, "30"), (True, "30"), (1.5, "30")],
)
def test_variable_that_is_not_a_string_is_refused_with_an_example(set_variables, value, example):
    set_variables(RETENTION_DAYS=value)

    assert error_message() == (
        f"{set_variables.prefix}RETENTION_DAYS{set_variables.owner} must be a string, for "
        f'example "{example}".'
    )


@pytest.mark.parametrize("value", [5, None, True])
@pytest.mark.parametrize(
    "name", sorted(secret_strings.SETTINGS.keys() - secret_strings.IN_PARAMETER)
)
def test_example_in_the_error_is_a_valid_value_of_the_setting(name, value):
    (problem,) = config_file._find_variable_problems({name: value}, "")

    assert problem.startswith(f"{name} must be a string, for example ")
    example = problem.split('"', 1)[1].removesuffix('".')
    assert example
    secret_strings.SETTINGS[name].metadata["parse"](example)


@pytest.mark.parametrize(
    ("name", "prefix"), [("PUBLIC_BASE_URL", "https://"), ("TWILIO_ACCOUNT_SID", "AC0")]
)
def test_example_of_a_url_or_sid_has_the_right_prefix(name, prefix):
    (problem,) = config_file._find_variable_problems({name: 5}, "")

    assert problem.startswith(f'{name} must be a string, for example "{prefix}')


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("AWS_ENDPOINT_URL", "x", "a URL such as http://127.0.0.1:4566"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "dynamodb:8000", "a URL such as http://127.0.0.1:4566"),
        ("HTTPS_PROXY", "x", 'a URL, for example "http://proxy.example.com:3128"'),
        ("HTTP_PROXY", "proxy:3128", 'a URL, for example "http://proxy.example.com:3128"'),
        ("AWS_MAX_ATTEMPTS", "x", "a whole number of at least 1"),
        ("AWS_MAX_ATTEMPTS", "0", "a whole number of at least 1"),
        ("AWS_MAX_ATTEMPTS", "", "a whole number of at least 1"),
        ("AWS_RETRY_MODE", "Standard", "one of legacy, standard, adaptive"),
        ("AWS_ACCOUNT_ID_ENDPOINT_MODE", "x", "one of preferred, disabled, required"),
    ],
)
def test_variable_that_boto3_or_a_proxy_client_would_refuse_is_refused(
    set_variables, name, value, allowed
):
    set_variables(**{name: value})

    assert (
        error_message() == f"{set_variables.prefix}{name}{set_variables.owner} must be {allowed}."
    )


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("SECRETS_PARAM", "SECRETS_PARAMETER"),
        ("SECRET_PARAMETER", "SECRETS_PARAMETER"),
        ("MAX_TOKENS_SECONDS", "MAX_TOKEN_SECONDS"),
        ("TOKEN_SECONDS", "MAX_TOKEN_SECONDS"),
        ("CALLBACK_SECRETS", "CALLBACK_PATH_SECRETS"),
        ("TWILIO_ACCOUNT", "TWILIO_ACCOUNT_SID"),
        ("TWILIO_SID", "TWILIO_ACCOUNT_SID"),
        ("TWILIO_URL", "TWILIO_TASKROUTER_URL"),
        ("TWILIO_WORKSPACE", "TWILIO_WORKSPACE_SID"),
    ],
)
def test_error_for_a_misspelled_setting_suggests_the_right_name(set_variables, name, suggested):
    set_variables(**{name: "5"})

    assert f" is not a setting. Did you mean {suggested}?" in error_message()


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION", "_HANDLER"])
def test_variable_that_lambda_sets_is_refused(set_variables, name):
    set_variables(**{name: "eu-west-1"})

    prefix, owner = set_variables.prefix, set_variables.owner
    assert error_message() == f"{prefix}{name}{owner} must not be set, because Lambda sets it."


@pytest.mark.parametrize(
    "variables",
    [
        {"LOG_LEVEL": "DEBUG"},
        {"AWS_ENDPOINT_URL_DYNAMODB": "https://dynamodb.eu-west-1.amazonaws.com"},
        {"AWS_RETRY_MODE": "adaptive", "AWS_ENDPOINT_URL": "", "HTTP_PROXY": ""},
        {"AWS_MAX_ATTEMPTS": "1", "PYTHONOPTIMIZE": "1", "LANG": "C.UTF-8", "TZ": "UTC"},
        {"HTTPS_PROXY": "http://proxy.example.com:3128"},
    ],
)
def test_log_level_and_variables_of_the_runtime_are_accepted(set_variables, variables):
    set_variables(**variables)

    assert stage_config.read("dev", allow_empty_sids=True)


VALID = {
    "REJECT_ACTIVITY_SID": f"WA{HEX}",
    "RESERVATION_TIMEOUTS_BY_WORKFLOW": json.dumps({f"WW{HEX}": 300}),
    "RESERVATION_TIMEOUT_SECONDS": "90",
    "SWEEP_GRACE_SECONDS": "5",
    "SECRETS_PARAMETER": "/other",
    "STATE_TABLE": "other",
    "TWILIO_ACCOUNT_SID": f"AC{HEX}",
    "TWILIO_WORKSPACE_SID": f"WS{HEX}",
    "TWILIO_WORKFLOW_SID": f"WW{HEX}",
    "CALLBACK_PATH_SECRETS": HEX,
    "PUBLIC_BASE_URL": "https://calls.example.com",
}


@pytest.mark.parametrize("name", VALID)
def test_valid_setting_is_accepted_except_at_the_function_level(set_variables, name):
    set_variables(**{name: VALID[name]})

    if set_variables.owner:
        assert error_message() == (
            f"{set_variables.prefix}{name}{set_variables.owner} must be set for the whole stage, "
            "because the functions and the operator commands must use the same value."
        )
    else:
        assert stage_config.read("dev", allow_empty_sids=True)


@pytest.mark.parametrize("handler", ["api_handler", "sweep"])
@pytest.mark.parametrize("name", sorted({field.name.upper() for field in fields(Settings)}))
def test_only_the_log_level_may_differ_between_functions(config, handler, name):
    declared = json.loads(COMMITTED)
    function = declared["stages"]["dev"]["lambda_functions"][handler]
    function["environment_variables"] = {name: "DEBUG"}
    config.write_text(json.dumps(declared))

    if name == "LOG_LEVEL":
        assert stage_config.environment("dev", {})
    else:
        with pytest.raises(OperatorError, match=f"{name}.* of lambda_functions.{handler}"):
            stage_config.environment("dev", {})


@settings(max_examples=50, deadline=None)
@given(
    name=st.sampled_from(sorted(field.name.upper() for field in fields(Settings))),
    position=st.integers(min_value=0),
    character=st.sampled_from("AXZ_9"),
)
def test_setting_name_with_one_wrong_character_is_recognized(name, position, character):
    position %= len(name)
    misspelled = name[:position] + character + name[position + 1 :]
    project = {"stages": {"dev": {"environment_variables": {misspelled: "5"}}}}
    known = {field.name.upper() for field in fields(Settings)}
    assume(misspelled not in known)

    is_secret = name in secret_strings.IN_PARAMETER
    problem = "under environment_variables is or" if is_secret else "is not a setting. Did you mean"
    with pytest.raises(OperatorError, match=f"{misspelled} {problem}"):
        config_file.check(project, "dev")


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"SETTINGS_DEFAULTS": "local/settings.env"}, "SETTINGS_DEFAULTS is for local use only"),
        ({"LOG_LEVEL": "ERROR"}, "LOG_LEVEL must be DEBUG or INFO"),
        (
            {"STATE_TABLE": "other"},
            "STATE_TABLE of lambda_functions.sweep must be set for the whole stage",
        ),
    ],
)
def test_variables_of_a_function_are_checked(config, variables, problem):
    declared = json.loads(COMMITTED)
    sweep = declared["stages"]["dev"]["lambda_functions"]["sweep"]
    sweep["environment_variables"] = variables
    config.write_text(json.dumps(declared))

    assert error_message().startswith(f"Stage dev in .chalice/config.json: {problem}")


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"STATE_TABLE": "my table"}, "STATE_TABLE must be 3 to 255 letters"),
        ({"RESERVATIONS_TABLE": "a"}, "RESERVATIONS_TABLE must be 3 to 255 letters"),
        (
            {"STATE_TABLE": "taskrouter-callbacks-dev-reservations"},
            "RESERVATIONS_TABLE and STATE_TABLE must differ.",
        ),
        *(
            ({"SECRETS_PARAMETER": name}, "SECRETS_PARAMETER must be a name that SSM allows")
            for name in (
                "my secrets",
                "a/b",
                "/aws/x",
                "/SSM/x",
                "awsecrets",
                "/a/",
                "//a",
                "/a" * 16,
                "/aws/reference/secretsmanager",
                "/aws/reference/secretsmanager/a b",
            )
        ),
        ({"VOICE_LANGUAGES": LONG_MENU}, "the variables of api_handler take"),
    ],
)
def test_value_that_aws_would_refuse_is_refused(config, variables, problem):
    declared = json.loads(COMMITTED)
    declared["stages"]["dev"]["environment_variables"] |= variables
    config.write_text(json.dumps(declared))

    assert error_message().startswith(f"Stage dev in .chalice/config.json: {problem}")
