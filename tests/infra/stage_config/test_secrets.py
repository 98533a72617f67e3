"""Secrets in .chalice/config.json are refused and not printed."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from infra import OperatorError
from infra.aws import config_file, secret_strings, stage_config
from tests.infra.stage_config.committed import COMMITTED, HEX, error_message

LOOKS_LIKE_SECRET = (
    "is or looks like a secret. Remove it, because secrets do not belong in this file. For local "
    "use, export the secrets in your shell. To store the secrets of a deployed stage, run: "
    "python -m infra secrets put --stage dev"
)
# Assembled here, so that secret scanners do not report this file.
API_KEY_SECRET = "aB3" + "dEf4GhIj5" * 3 + "zZ"
PASSWORD = "proxy-pw"
AWS_SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY"


@pytest.mark.parametrize(
    "variables",
    [
        {"TWILIO_AUTH_TOKEN": "x"},
        {"TWILIO_AUTH_TOKEN": 5},
        {"TWILIO_API_KEY_SECRET": API_KEY_SECRET},
        {"RETENTION_DAYS": HEX},
        {"RETENTION_DAYS": HEX.upper()},
        {"RETENTION_DAYS": [HEX]},
        {"VOICE_LANGUAGES": json.dumps({"auth_tokens": [HEX]})},
        {"PUBLIC_BASE_URL": f"https://user:{HEX}@example.com"},
        {"STATE_TABLE": API_KEY_SECRET},
        {"AWS_SECRET_ACCESS_KEY": AWS_SECRET_KEY},
        {"STATE_TABLE": AWS_SECRET_KEY},
        {"STATE_TABLE": "AKIA" + "A" * 16},
        {"STATE_TABLE": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"},
        {"STATE_TABLE": "-----BEGIN PRIVATE KEY-----"},
        {"UNKNOWN": HEX},
        {HEX: "x"},
        {"STATE_TABLES": API_KEY_SECRET},
    ],
)
def test_secret_is_refused_and_not_printed(set_variables, variables):
    set_variables(**variables)

    message = error_message()

    assert message.startswith(set_variables.prefix)
    assert "is or looks like a secret. Remove it, because" in message
    assert "python -m infra secrets put" in message
    ((name, value),) = variables.items()
    assert (name in message) is (name != HEX)
    for secret in (HEX, HEX.upper(), API_KEY_SECRET, AWS_SECRET_KEY):
        assert secret not in message
    assert len(str(value)) == 1 or str(value) not in message


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("tags", {"service": HEX}, "tags.service"),
        ("tags", {"owner": f"https://user:{PASSWORD}@example.com"}, "tags.owner"),
        ("tags", {HEX: "x"}, "a name under tags"),
        ("layers", [API_KEY_SECRET], "layers"),
        ("api_gateway_policy_file", f"{HEX}.json", "api_gateway_policy_file"),
    ],
)
def test_secret_outside_the_variables_is_refused_and_not_printed(config, key, value, name):
    declared = json.loads(COMMITTED)
    declared["stages"]["dev"][key] = value
    config.write_text(json.dumps(declared))

    message = error_message()

    assert f"{name} is or looks like a secret. Remove it, because" in message
    assert not any(secret in message for secret in (HEX, API_KEY_SECRET, PASSWORD))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", f"http://user:{PASSWORD}@proxy.example.com:3128"),
        ("HTTP_PROXY", f"user:{PASSWORD}@proxy.example.com:3128"),
        ("HTTPS_PROXY", "http://user@proxy.example.com"),
        ("AWS_ENDPOINT_URL", f"https://:{PASSWORD}@example.com"),
        ("PUBLIC_BASE_URL", f"https://user:{PASSWORD}@example.com/dev"),
        ("VOICE_LANGUAGES", f'[{{"say": "https://user:{PASSWORD}@example.com/x"}}]'),
    ],
)
def test_url_with_credentials_is_refused_and_not_printed(set_variables, name, value):
    set_variables(**{name: value})

    message = error_message()

    prefix = f"{set_variables.prefix}{name}{set_variables.owner}"
    assert message.startswith(f"{prefix} must be a URL without a user name or password, because")
    assert PASSWORD not in message


@pytest.mark.parametrize("value", [HEX, API_KEY_SECRET, f"{HEX},{API_KEY_SECRET}", f"open,{HEX}"])
def test_callback_path_secret_is_not_mistaken_for_another_secret(set_variables, value):
    set_variables(CALLBACK_PATH_SECRETS=value)

    if set_variables.owner:
        assert "must be set for the whole stage" in error_message()
    else:
        stage = stage_config.read("dev", allow_empty_sids=True)
        assert stage.settings.callback_path_secrets == tuple(value.split(","))


SECRET_NAMES = [
    "AUTH_TOKENS",
    "auth_token",
    "TWILIO_AUTH",
    "TWILIO_API_KEY",
    "TWILIO_API_KEY_SIDS",
    "TWILIO_KEY",
    "twilioApiKey",
    "TWILIO_ACCOUNT_SECRET",
    "API_KEYS",
    "SHARED_KEYS",
    "SharedKeys",
    "DB_PASSWORD",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SESSION_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK",
]


@pytest.mark.parametrize("value", ["x", "", 5, None])
@pytest.mark.parametrize("name", SECRET_NAMES)
def test_variable_named_like_a_secret_is_refused_with_any_value(set_variables, name, value):
    set_variables(**{name: value})

    assert error_message() == (
        f"{set_variables.prefix}{name} under environment_variables{set_variables.owner} "
        f"{LOOKS_LIKE_SECRET}"
    )


@pytest.mark.parametrize("name", [*SECRET_NAMES, "TWILIO_AUTH_TOKEN", "TWILIO_API_KEY_SID"])
def test_key_named_like_a_secret_is_refused(config, name):
    declared = json.loads(COMMITTED)
    declared["stages"]["dev"][name] = "x"
    config.write_text(json.dumps(declared))

    assert error_message() == f"Stage dev in .chalice/config.json: {name} {LOOKS_LIKE_SECRET}"


def test_secret_used_as_a_key_is_not_printed(config):
    declared = json.loads(COMMITTED)
    places = {
        "a name": declared["stages"]["dev"],
        "a name under lambda_functions": declared["stages"]["dev"]["lambda_functions"],
        "a name under lambda_functions.sweep": declared["stages"]["dev"]["lambda_functions"][
            "sweep"
        ],
        "at the top level, a name": declared,
    }
    for name, level in places.items():
        level[HEX] = "x"
        config.write_text(json.dumps(declared))
        del level[HEX]

        assert error_message() == f"Stage dev in .chalice/config.json: {name} {LOOKS_LIKE_SECRET}"


@pytest.mark.parametrize("owner", ["local", "prod"])
@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("environment_variables", {"TWILIO_AUTH_TOKEN": "x"}, "TWILIO_AUTH_TOKEN"),
        ("environment_variables", {"STATE_TABLE": HEX}, "STATE_TABLE"),
        ("tags", {"service": HEX}, "tags.service"),
        ("environment_variable", {"TWILIO_AUTH_TOKEN": "x"}, "environment_variable contains"),
        ("unknown", {"a": [{"b": HEX}]}, "unknown contains"),
        ("unknown", {"a": {HEX: 5}}, "unknown contains"),
        ("unknown", HEX, "unknown is"),
        ("lambda_functions", [{"a": HEX}], "lambda_functions contains"),
        ("lambda_functions", {"api_handlr": {"x": {"y": HEX}}}, "lambda_functions.api_handlr con"),
        ("environment_variables", {"STATE_TABLE": [HEX]}, "STATE_TABLE under"),
        ("environment_variables", [HEX], "environment_variables is"),
        ("layers", {"a": HEX}, "layers contains"),
        (
            "lambda_functions",
            {"sweep": {"environment_variables": {"API_KEY": "x"}}},
            "API_KEY under environment_variables of lambda_functions.sweep",
        ),
    ],
)
def test_secret_of_another_stage_is_refused_and_not_printed(config, owner, key, value, name):
    declared = json.loads(COMMITTED)
    declared["stages"][owner][key] = value
    config.write_text(json.dumps(declared))

    message = error_message()

    assert message.startswith(f"Stage {owner} in .chalice/config.json: {name}")
    assert "is or looks like a secret. Remove it, because" in message
    assert HEX not in message


def test_error_for_a_secret_names_the_stage_whose_parameter_can_store_it(config):
    declared = json.loads(COMMITTED)
    declared["environment_variables"] = {"TWILIO_AUTH_TOKEN": "x"}
    config.write_text(json.dumps(declared))

    for name in ("dev", "prod"):
        with pytest.raises(OperatorError, match=f"put --stage {name}$"):
            stage_config.environment(name, {})
    declared["stages"]["dev"]["environment_variables"] = 5
    config.write_text(json.dumps(declared))
    with pytest.raises(OperatorError, match="put --stage dev$"):
        stage_config.environment("dev", {})
    # The local stage has no parameter.
    with pytest.raises(OperatorError, match="put --stage STAGE$"):
        stage_config.environment("local", {})


@pytest.mark.parametrize(
    "name",
    [
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ],
)
def test_variable_with_the_location_of_a_secret_is_accepted(set_variables, name):
    set_variables(**{name: "/opt/secret"})

    assert stage_config.read("dev", allow_empty_sids=True)


@given(st.text("ABCDEIKLNOPSTUWY_", min_size=1) | st.sampled_from(SECRET_NAMES))
def test_names_of_secrets_are_not_suggested(name):
    assume(name not in secret_strings.SETTINGS)
    problem = next(config_file._find_variable_problems({name: "5"}, ""), "")

    assert not any(f"Did you mean {secret}" in problem for secret in secret_strings.IN_PARAMETER)


def test_error_for_a_misspelled_setting_that_contains_secrets_omits_its_value(set_variables):
    set_variables(CALLBACK_PATH_SECRET=HEX)

    message = error_message()

    assert "CALLBACK_PATH_SECRET" in message
    assert "is not a setting. Did you mean CALLBACK_PATH_SECRETS?" in message
    assert HEX not in message
