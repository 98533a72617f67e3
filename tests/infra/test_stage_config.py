"""Stages declared in .chalice/config.json."""

import copy
import inspect
import json
import re
from dataclasses import fields

import pytest
from chalice.config import Config as ChaliceConfig
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chalicelib.config import Settings
from infra import OperatorError
from infra.aws import config_file, fingerprint, policies, secret_texts, stage_config

WRONG_VALUES = (None, 5, "x", "", [], [1], {}, True)
COMMITTED = stage_config.CONFIG.read_text(encoding="utf-8")
SWEEP_POLICY = "policies/dev-sweep.json"
LANGUAGE = {"language": "es", "say": "x" * 600}
LONG_MENU = json.dumps(
    [{**LANGUAGE, "digit": str(digit), "default": digit == 0} for digit in range(7)]
)


@pytest.fixture
def config(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    project = {
        "environment_variables": {"RETENTION_DAYS": "10", "LOG_LEVEL": "DEBUG"},
        "stages": {"prod": {"environment_variables": {"RETENTION_DAYS": "20"}}, "empty": {}},
    }
    path.write_text(json.dumps(project))
    monkeypatch.setattr(stage_config, "CONFIG", path)
    return path


@pytest.mark.usefixtures("config")
def test_shell_overrides_stage_and_stage_overrides_project():
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


def test_error_for_malformed_json_names_the_file(config):
    config.write_text("{")

    with pytest.raises(OperatorError, match=r"config\.json can't be read"):
        stage_config.environment("dev", {})


def test_byte_order_mark_in_the_file_is_reported_because_chalice_cannot_read_it(config):
    config.write_text("{}", encoding="utf-8-sig")

    with pytest.raises(OperatorError, match="without a byte order mark"):
        stage_config.environment("dev", {})


def test_file_in_another_encoding_is_reported(config):
    config.write_text("{}", encoding="utf-16")

    with pytest.raises(OperatorError, match="Save the file as UTF-8"):
        stage_config.environment("dev", {})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"stages": {}, "stages": {}}', 'it repeats the name "stages"'),
        ('{"stages": {"dev": {"a": 1, "a": 1}}}', 'it repeats the name "a" in stages.dev'),
        (
            '{"stages": {"dev": {"tags": {"b": "1",\n"b": "2"}}}}',
            'it repeats the name "b" in stages.dev.tags',
        ),
        ("{", "Expecting property name enclosed in double quotes at line 1, column 2"),
        ('{"stages":\n  {"dev": }}', "Expecting value at line 2, column 11"),
        ("[" * 100_000, "a number has too many digits, or values are nested too deeply"),
        (f'{{"a": {"1" * 5000}}}', "a number has too many digits, or values are nested too deeply"),
    ],
    ids=range(7),
)
def test_mistake_in_the_text_is_described_in_a_sentence(config, text, problem):
    config.write_text(text)

    with pytest.raises(OperatorError) as error:
        stage_config.environment("dev", {})
    assert str(error.value) == f".chalice/config.json can't be read: {problem}."


def test_missing_file_is_described_in_a_sentence(config):
    config.unlink()

    with pytest.raises(OperatorError) as error:
        stage_config.environment("dev", {})
    assert str(error.value) == ".chalice/config.json can't be read: No such file or directory."


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
    ("content", "problem"),
    [
        ([], "must contain a JSON object with the key stages."),
        (None, "must contain a JSON object with the key stages."),
        ({"stages": None}, "stages must be an object with one entry per stage."),
        ({"stages": {"dev": None}}, "the stage dev must be an object."),
        ({"stages": {"dev": [1]}}, "the stage dev must be an object."),
        ({"stages": {"dev": "x"}}, "the stage dev must be an object."),
    ],
)
def test_error_for_a_file_of_the_wrong_shape_says_what_is_expected(config, content, problem):
    config.write_text(json.dumps(content))

    with pytest.raises(OperatorError, match=problem):
        stage_config.read("dev", allow_empty_sids=True)


FIXED = [
    ("autogen_policy", True, "false"),
    ("autogen_policy", None, "false"),
    ("autogen_policy", 0, "false"),
    ("iam_role_arn", "arn:aws:iam::123456789012:role/own", "removed"),
    ("log_retention_in_days", 30, "removed"),
    ("manage_iam_role", False, "true"),
]
"""Keys that would override the project's resources, with a refused value and the correction."""


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("lambda_functions", [], "lambda_functions must be an object."),
        ("lambda_functions", None, "lambda_functions must be an object."),
        ("lambda_functions/api_handler", None, "api_handler must be an object."),
        ("api_gateway_custom_domain", "x", "api_gateway_custom_domain must be an object."),
        ("api_gateway_custom_domain", None, "api_gateway_custom_domain must be an object."),
        ("api_gateway_custom_domain", {"x": 1}, "api_gateway_custom_domain.x is unknown."),
        ("api_gateway_custom_domain", {}, "api_gateway_custom_domain.domain_name is missing."),
        (
            "api_gateway_custom_domain",
            {"domain_name": "calls.example.com"},
            "api_gateway_custom_domain.certificate_arn is missing.",
        ),
        ("api_gateway_policy_file", 5, "api_gateway_policy_file must be a string"),
        *(
            (
                "lambda_functions/api_handler/iam_policy_file",
                file,
                "iam_policy_file must be policies/dev-api_handler.json, which the deployment",
            )
            for file in (".", "../../../evil.json", "deployed/dev.json", "a\0.json", SWEEP_POLICY)
        ),
        ("lambda_functions/sweep/lambda_timeout", 29, "lambda_timeout must be at least 30. With"),
        *(
            (
                "lambda_functions/api_handler/lambda_timeout",
                seconds,
                "lambda_timeout must be 29 .Chal",
            )
            for seconds in (1, 14, 15, 20, 28, 30, 60, 900)
        ),
        *(
            (f"{place}{key}", value, f"{key} must be {expected}, because ")
            for place in ("", "lambda_functions/api_handler/", "lambda_functions/sweep/")
            for key, value, expected in FIXED
        ),
        ("automatic_layer", True, "automatic_layer must be false, because"),
        ("websocket_api_custom_domain", {}, "websocket_api_custom_domain must be removed, because"),
        ("iam_policy_file", "a.json", "iam_policy_file has no effect here. Move it to lambda_"),
        ("lambda_functions/sweep/iam_policy_file", 5, "iam_policy_file must be a string"),
        ("lambda_functions/sweep/iam_policy_file", None, "iam_policy_file must be a string"),
        ("lambda_functions/sweep/lambda_memory_size", "512", "from 128 to 10240"),
        ("lambda_functions/sweep/lambda_memory_size", True, "from 128 to 10240"),
        ("lambda_functions/sweep/lambda_timeout", 901, "from 1 to 900"),
        ("lambda_functions/sweep/reserved_concurrency", -1, "a whole number from 1"),
        (
            "lambda_functions/sweep/layers",
            "arn:aws:lambda:layer",
            "layers must be a list of strings",
        ),
        ("subnet_ids", [1], "subnet_ids must be a list of strings"),
        ("xray", "true", "xray must be true or false"),
        ("tags", {"service": 5}, 'tags.service must be a string, for example "5".'),
        ("tags", {"service": None}, 'tags.service must be a string, for example "'),
        ("tags", {"service": "a;b"}, "tags.service must be a tag that AWS allows: letters,"),
        ("tags", {"service": "a" * 257}, "tags.service must be a tag that AWS allows: letters,"),
        ("tags", {"aws:service": "a"}, "tags.aws:service must be a tag that AWS allows: letters,"),
        ("tags", {f"t{i}": "" for i in range(50)}, "tags must have at most 49 entries."),
        ("subnet_ids", ["sg-1"], "subnet_ids must be a list of strings .at most 16., for example"),
        ("security_group_ids", ["sg-1"] * 6, "security_group_ids must be a list of strings"),
        ("security_group_ids", "sg-1", "security_group_ids must be a list of strings"),
        ("layers", ["own"], "layers must be a list of strings .at most 5., for example"),
        ("lambda_functions/sweep/reserved_concurrency", 1.5, "a whole number from 1"),
        ("lambda_memory_size", 10_241, "lambda_memory_size must be a whole number from 128"),
        ("lambda_memory_size", 512.0, "lambda_memory_size must be a whole number from 128"),
        ("api_gateway_custom_domain", {"tls_version": "1.2"}, 'strings "TLS_1_0", "TLS_1_2"'),
        ("api_gateway_custom_domain", {"url_prefix": "a b"}, "url_prefix must be a string"),
        (
            "api_gateway_custom_domain",
            {"domain_name": "https://x.y"},
            "domain_name must be a string",
        ),
        ("api_gateway_custom_domain", {"certificate_arn": "x"}, "certificate_arn must be a string"),
        ("subnet_ids", ["subnet-1"], "subnet_ids and security_group_ids of api_handler must both"),
        (
            "lambda_functions/sweep/security_group_ids",
            ["sg-1"],
            "subnet_ids and security_group_ids of sweep must both be set or both be omitted.",
        ),
        ("api_gateway_endpoint_vpce", "vpce-1", "requires the api_gateway_endpoint_type PRIVATE"),
        ("api_gateway_endpoint_type", "PRIVATE", "requires either api_gateway_endpoint_vpce or"),
        ("tags", ["service"], "tags must be an object of strings, for example"),
        ("api_gateway_stage", 5, "api_gateway_stage must be a string"),
        (
            "api_gateway_endpoint_type",
            "NOWHERE",
            'must be one of the strings "EDGE", "REGIONAL", "PRIVATE"',
        ),
        ("lambda_architecture", "arm", 'must be one of the strings "x86_64", "arm64"'),
        ("minimum_compression_size", "1", "minimum_compression_size must be a whole number"),
    ],
)
def test_error_for_a_wrong_value_names_the_stage_and_the_key(config, path, value, problem):
    declared = json.loads(COMMITTED)
    replace(declared["stages"]["dev"], path.split("/"), value)
    config.write_text(json.dumps(declared))

    with pytest.raises(OperatorError, match=f"^Stage dev in .chalice/config.json: .*{problem}"):
        stage_config.read("dev", allow_empty_sids=True)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("lambda_memory_sizee", "lambda_memory_sizee is unknown. Did you mean lambda_memory_size?"),
        (
            "lambda_functions/sweep/lambda_time_out",
            "lambda_functions.sweep.lambda_time_out is unknown. Did you mean lambda_timeout?",
        ),
        (
            "lambda_functions/api",
            "lambda_functions.api is unknown.",
        ),
        ("lambda_functions/Sweep", "lambda_functions.Sweep is unknown. Did you mean sweep?"),
        (
            "lambda_functions/sweep/lambda_architecture",
            "lambda_functions.sweep.lambda_architecture has no effect here. Move it to the stage.",
        ),
        ("version", "version has no effect here. Move it to the top level of the file."),
        (
            "profile",
            (
                "profile must be removed, because Chalice ignores it. Select the profile with "
                "AWS_PROFILE."
            ),
        ),
        ("RETENTION_DAYS", "RETENTION_DAYS is a setting. Move it to environment_variables."),
        ("zzz", "zzz is unknown."),
    ],
)
def test_key_that_chalice_would_ignore_is_refused(config, path, problem):
    declared = json.loads(COMMITTED)
    replace(declared["stages"]["dev"], path.split("/"), "x")
    config.write_text(json.dumps(declared))

    assert refusal() == f"Stage dev in .chalice/config.json: {problem}"


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("lambda_memory_sizee", 512, "lambda_memory_sizee is unknown. Did you mean"),
        ("lambda_timeout", "60", "lambda_timeout must be a whole number from 1 to 900."),
        ("version", 2.0, 'version must be the string "2.0".'),
        ("profile", "own", "profile must be removed, because Chalice ignores it."),
        ("api_gateway_stage", "dev", "api_gateway_stage has no effect here. Move it to the stage."),
        ("api_gateway_custom_domain", {}, "api_gateway_custom_domain has no effect here. Move"),
        *((key, value, f"{key} must be {expected}, ") for key, value, expected in FIXED),
        *(
            ("lambda_functions", {name: {key: value}}, f"lambda_functions.{name}.{key} must ")
            for name in ("api_handler", "sweep")
            for key, value, _ in FIXED
        ),
        ("app_name", "calls", 'app_name must be the string "taskrouter-callbacks".'),
        ("environment_variables", {"RETENTION_DAY": "5"}, "RETENTION_DAY is not a setting. Did"),
        (
            "lambda_functions",
            {"sweep": {"environment_variables": {}}},
            "lambda_functions.sweep.environment_variables has no effect here. Move it to the stage",
        ),
    ],
)
def test_key_at_the_top_level_is_checked(config, key, value, problem):
    config.write_text(json.dumps({**json.loads(COMMITTED), key: value}))

    assert refusal().startswith(f"Stage dev in .chalice/config.json: at the top level, {problem}")


def refusal():
    with pytest.raises(OperatorError) as error:
        stage_config.read("dev", allow_empty_sids=True)
    assert "\n" not in str(error.value)
    return str(error.value)


LEVELS = {
    "the top level": ((), "at the top level, ", ""),
    "the stage": (("stages", "dev"), "", ""),
    "a function": (
        ("stages", "dev", "lambda_functions", "sweep"),
        "",
        " of lambda_functions.sweep",
    ),
}


@pytest.fixture(params=LEVELS)
def set_variables(request, config):
    """A function that sets variables at one level of the file.

    The function's attributes are the parts of error messages that name this level.
    """
    path, prefix, owner = LEVELS[request.param]

    def set_variables(**variables):
        declared = json.loads(COMMITTED)
        level = declared
        for name in path:
            level = level[name]
        level.setdefault("environment_variables", {}).update(variables)
        config.write_text(json.dumps(declared))

    set_variables.prefix = f"Stage dev in .chalice/config.json: {prefix}"
    set_variables.owner = owner
    return set_variables


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

    assert refusal() == (
        f"{set_variables.prefix}{name}{set_variables.owner} is not a setting.{hint} See "
        "docs/settings.md."
    )


@pytest.mark.parametrize(
    ("value", "example"),
    [(5, "5"), (None, "30"), ([1], "30"), ({"a": "b"}, "30"), (True, "30"), (1.5, "30")],
)
def test_variable_that_is_not_a_string_is_refused_with_an_example(set_variables, value, example):
    set_variables(RETENTION_DAYS=value)

    assert refusal() == (
        f"{set_variables.prefix}RETENTION_DAYS{set_variables.owner} must be a string, for "
        f'example "{example}".'
    )


@pytest.mark.parametrize("value", [5, None, True])
@pytest.mark.parametrize("name", sorted(secret_texts.SETTINGS.keys() - secret_texts.IN_PARAMETER))
def test_example_in_the_error_is_a_valid_value_of_the_setting(name, value):
    (problem,) = config_file._find_variable_problems({name: value}, "")

    assert problem.startswith(f"{name} must be a string, for example ")
    example = problem.split('"', 1)[1].removesuffix('".')
    assert example
    secret_texts.SETTINGS[name].metadata["parse"](example)


@pytest.mark.parametrize(
    ("name", "prefix"), [("PUBLIC_BASE_URL", "https://"), ("TWILIO_ACCOUNT_SID", "AC0")]
)
def test_example_of_a_url_or_sid_has_the_right_prefix(name, prefix):
    (problem,) = config_file._find_variable_problems({name: 5}, "")

    assert problem.startswith(f'{name} must be a string, for example "{prefix}')


LOOKS_SECRET = (
    "is or looks like a secret, which does not belong in this file. Remove it. Export the secrets "
    "for local use in your shell. To store the secrets of a deployed stage, run: python -m infra "
    "secrets put --stage dev"
)
HEX = "0123456789abcdef" * 2
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

    message = refusal()

    assert message.startswith(set_variables.prefix)
    assert "is or looks like a secret, which does not belong in this file." in message
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
def test_secret_in_another_value_is_refused_and_not_printed(config, key, value, name):
    declared = json.loads(COMMITTED)
    declared["stages"]["dev"][key] = value
    config.write_text(json.dumps(declared))

    message = refusal()

    assert f"{name} is or looks like a secret, which does not belong in this file." in message
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
def test_password_in_a_url_is_refused_and_not_printed(set_variables, name, value):
    set_variables(**{name: value})

    message = refusal()

    prefix = f"{set_variables.prefix}{name}{set_variables.owner}"
    assert message.startswith(f"{prefix} must be a URL without a user name or password, because")
    assert PASSWORD not in message


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

    assert refusal() == f"{set_variables.prefix}{name}{set_variables.owner} must be {allowed}."


@pytest.mark.parametrize("value", [HEX, API_KEY_SECRET, f"{HEX},{API_KEY_SECRET}", f"open,{HEX}"])
def test_secret_path_may_look_like_any_other_secret(set_variables, value):
    set_variables(CALLBACK_PATH_SECRETS=value)

    if set_variables.owner:
        assert "must be set for the whole stage" in refusal()
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
def test_secret_name_is_refused_with_any_value(set_variables, name, value):
    set_variables(**{name: value})

    assert refusal() == (
        f"{set_variables.prefix}{name} under environment_variables{set_variables.owner} "
        f"{LOOKS_SECRET}"
    )


@pytest.mark.parametrize("name", [*SECRET_NAMES, "TWILIO_AUTH_TOKEN", "TWILIO_API_KEY_SID"])
def test_key_with_a_secret_name_is_refused(config, name):
    declared = json.loads(COMMITTED)
    declared["stages"]["dev"][name] = "x"
    config.write_text(json.dumps(declared))

    assert refusal() == f"Stage dev in .chalice/config.json: {name} {LOOKS_SECRET}"


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

        assert refusal() == f"Stage dev in .chalice/config.json: {name} {LOOKS_SECRET}"


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

    message = refusal()

    assert message.startswith(f"Stage {owner} in .chalice/config.json: {name}")
    assert "is or looks like a secret, which does not belong in this file." in message
    assert HEX not in message


@pytest.mark.parametrize("stage", [{"xrays": True}, {"environment_variables": 5}, {"layers": "x"}])
def test_other_mistakes_of_another_stage_are_ignored(config, stage):
    declared = json.loads(COMMITTED)
    declared["stages"]["prod"] = stage
    config.write_text(json.dumps(declared))

    assert stage_config.environment("dev", {})


def test_error_for_a_secret_names_the_stage_whose_parameter_can_hold_it(config):
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

    assert f" is not a setting. Did you mean {suggested}?" in refusal()


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
def test_secret_names_are_not_suggested(name):
    assume(name not in secret_texts.SETTINGS)
    problem = next(config_file._find_variable_problems({name: "5"}, ""), "")

    assert not any(f"Did you mean {secret}" in problem for secret in secret_texts.IN_PARAMETER)


def test_error_for_misspelled_callback_path_secrets_omits_the_value(set_variables):
    set_variables(CALLBACK_PATH_SECRET=HEX)

    message = refusal()

    assert "CALLBACK_PATH_SECRET" in message
    assert "is not a setting. Did you mean CALLBACK_PATH_SECRETS?" in message
    assert HEX not in message


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION", "_HANDLER"])
def test_variable_that_lambda_sets_is_refused(set_variables, name):
    set_variables(**{name: "eu-west-1"})

    prefix, owner = set_variables.prefix, set_variables.owner
    assert refusal() == f"{prefix}{name}{owner} must not be set, because Lambda sets it."


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
        assert refusal() == (
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
    letter=st.sampled_from("AXZ_9"),
)
def test_setting_with_one_wrong_letter_is_recognized(name, position, letter):
    position %= len(name)
    misspelled = name[:position] + letter + name[position + 1 :]
    project = {"stages": {"dev": {"environment_variables": {misspelled: "5"}}}}
    known = {field.name.upper() for field in fields(Settings)}
    assume(misspelled not in known)

    is_secret = name in secret_texts.IN_PARAMETER
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
def test_variables_of_a_function_are_checked_like_those_of_the_stage(config, variables, problem):
    declared = json.loads(COMMITTED)
    sweep = declared["stages"]["dev"]["lambda_functions"]["sweep"]
    sweep["environment_variables"] = variables
    config.write_text(json.dumps(declared))

    assert refusal().startswith(f"Stage dev in .chalice/config.json: {problem}")


PROD_RESERVATIONS = "taskrouter-callbacks-prod-reservations"


@pytest.mark.parametrize(
    ("name", "table", "other_name"),
    [
        ("RESERVATIONS_TABLE", PROD_RESERVATIONS, "RESERVATIONS_TABLE"),
        ("STATE_TABLE", "taskrouter-callbacks-prod-state", "STATE_TABLE"),
        ("STATE_TABLE", f" {PROD_RESERVATIONS} ", "RESERVATIONS_TABLE"),
        ("RESERVATIONS_TABLE", "taskrouter-callbacks-prod-state", "STATE_TABLE"),
    ],
)
def test_table_of_another_stage_is_refused_in_one_sentence(config, name, table, other_name):
    declared = json.loads(COMMITTED)
    declared["stages"]["dev"]["environment_variables"][name] = table
    config.write_text(json.dumps(declared))

    message = (
        f"{{}} in .chalice/config.json: {{}} must not be {table.strip()}, which is also the {{}} "
        "of stage {}, because each stage needs its own tables."
    )
    for stage, *names in (("dev", name, other_name, "prod"), ("prod", other_name, name, "dev")):
        with pytest.raises(OperatorError) as error:
            stage_config.environment(stage, {})
        assert str(error.value) == message.format(f"Stage {stage}", *names)


def test_table_at_the_top_level_is_refused_because_all_stages_would_use_it(config):
    declared = json.loads(COMMITTED) | {"environment_variables": {"STATE_TABLE": "state"}}
    for stage in declared["stages"].values():
        stage["environment_variables"].pop("STATE_TABLE", None)
    config.write_text(json.dumps(declared))

    assert "which is also the STATE_TABLE of stage prod" in refusal()
    assert stage_config.environment("local", {})["STATE_TABLE"] == "state"


def test_local_stage_may_name_the_tables_of_another_stage(config):
    declared = json.loads(COMMITTED)
    dev = declared["stages"]["dev"]["environment_variables"]
    declared["stages"]["local"]["environment_variables"]["STATE_TABLE"] = dev["STATE_TABLE"]
    config.write_text(json.dumps(declared))

    assert stage_config.read("dev", allow_empty_sids=True)
    assert stage_config.environment("local", {})["STATE_TABLE"] == dev["STATE_TABLE"]


@pytest.mark.parametrize("variables", [None, 5, [], {"STATE_TABLE": 5}, {"STATE_TABLE": None}])
def test_invalid_variables_of_another_stage_are_ignored(config, variables):
    declared = json.loads(COMMITTED)
    declared["stages"]["prod"]["environment_variables"] = variables
    config.write_text(json.dumps(declared))

    assert stage_config.read("dev", allow_empty_sids=True)


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

    assert refusal().startswith(f"Stage dev in .chalice/config.json: {problem}")


FUNCTIONS = ("lambda_functions/api_handler", "lambda_functions/sweep")

VALID_VALUES = {
    "access_logs": True,
    "workspace_file": "workspace.yaml",
    "api_gateway_endpoint_type": "EDGE",
    "api_gateway_policy_file": "policy.json",
    "automatic_layer": False,
    "autogen_policy": False,
    "environment_variables": {
        "SECRETS_PARAMETER": "/aws/reference/secretsmanager/twilio/dev",
        "RESERVATIONS_TABLE": "restored_table.2",
        "STATE_TABLE": "taskrouter-callbacks-dev-state",
    },
    "lambda_architecture": "arm64",
    "lambda_memory_size": 10_240,
    "lambda_timeout": 900,
    "layers": ["arn:aws:lambda:eu-west-1:1:layer:own:1"],
    "manage_iam_role": True,
    "minimum_compression_size": 0,
    "reserved_concurrency": 1,
    "security_group_ids": [],
    "subnet_ids": [],
    "tags": {},
    "xray": False,
}


@pytest.mark.parametrize("key", VALID_VALUES)
def test_valid_value_is_accepted(config, key):
    declared = json.loads(COMMITTED)
    declared["stages"]["dev"][key] = VALID_VALUES[key]
    config.write_text(json.dumps(declared))

    assert stage_config.read("dev", allow_empty_sids=True)


@pytest.mark.parametrize(
    "values",
    [
        {"api_gateway_endpoint_type": "PRIVATE", "api_gateway_endpoint_vpce": ["vpce-1"]},
        {"api_gateway_endpoint_type": "PRIVATE", "api_gateway_policy_file": "policy.json"},
        {"security_group_ids": ["sg-1"], "subnet_ids": ["subnet-0a1", "subnet-0a2"]},
    ],
)
def test_keys_with_their_counterparts_are_accepted(config, values):
    declared = json.loads(COMMITTED)
    declared["stages"]["dev"] |= values
    config.write_text(json.dumps(declared))

    assert stage_config.read("dev", allow_empty_sids=True)


def test_missing_autogen_policy_is_refused(config):
    declared = json.loads(COMMITTED)
    del declared["autogen_policy"]
    config.write_text(json.dumps(declared))

    assert "autogen_policy must be set to false, because" in refusal()


def test_every_key_that_chalice_reads_has_a_rule():
    source = inspect.getsource(ChaliceConfig)
    read = {*re.findall(r"_chain_(?:lookup|merge)\(\s*['\"](\w+)", source)}
    read |= {*re.findall(r"_config_from_disk\.get\(\s*['\"](\w+)", source)}
    arguments = {"chalice_app", "project_dir"}

    levels = (config_file._PROJECT, config_file._STAGE, config_file._FUNCTION)
    assert read - arguments == {name for level in levels for name in level} - {
        "access_logs",
        "workspace_file",
    }


@pytest.mark.parametrize(
    "level", ["", "stages/dev/", *(f"stages/dev/{name}/" for name in FUNCTIONS)]
)
def test_reserved_concurrency_that_stops_a_function_is_refused(config, level):
    declared = json.loads(COMMITTED)
    replace(declared, f"{level}reserved_concurrency".split("/"), 0)
    config.write_text(json.dumps(declared))

    assert refusal().endswith(
        "reserved_concurrency must be a whole number from 1 to 1000000, because 0 stops the "
        "function (to stop a function on purpose, use the AWS Console or infra destroy)."
    )


def test_shortest_timeouts_are_accepted(config):
    declared = json.loads(COMMITTED)
    for name, seconds in zip(FUNCTIONS, (29, 30), strict=True):
        replace(declared, f"stages/dev/{name}/lambda_timeout".split("/"), seconds)
    config.write_text(json.dumps(declared))

    assert stage_config.read("dev", allow_empty_sids=True)


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


def test_deeply_nested_file_is_refused(config):
    config.write_text("[" * 100_000)

    with pytest.raises(OperatorError, match=r"config\.json can't be read"):
        stage_config.read("dev")


@pytest.mark.parametrize("name", ["my_stage", "a" * 17, "a" * 40, "production-eu-west", "dev/x"])
@pytest.mark.parametrize("allow_empty_sids", [True, False])
def test_stage_name_that_aws_would_refuse_is_refused_first(config, name, allow_empty_sids):
    text = COMMITTED.replace('"dev"', json.dumps(name))
    config.write_text(text)

    with pytest.raises(OperatorError, match="name must be 1 to 16 letters, digits and hyphens"):
        stage_config.read(name, allow_empty_sids=allow_empty_sids)


def test_resource_names_for_the_longest_stage_name_are_within_aws_limits(config):
    name = "a" * stage_config._MAX_STAGE_NAME
    renamed = COMMITTED.replace('"dev"', json.dumps(name))
    config.write_text(renamed.replace("policies/dev-", f"policies/{name}-"))

    stage = stage_config.read(name, allow_empty_sids=True)

    # CloudFormation appends the bucket's logical ID and at most 13 characters.
    assert len(f"{stage.stack}-deployments-{'x' * 13}") == 63
    assert len(stage.stack) <= 128
    for handler in (stage_config.API, stage_config.SWEEP):
        assert len(stage.function(handler)) <= 64
        assert len(stage.role(handler)) <= 64
    assert len(stage.schedule) <= 64


def test_missing_timeout_of_the_api_is_refused(config):
    declared = json.loads(COMMITTED)
    del declared["stages"]["dev"]["lambda_functions"]["api_handler"]["lambda_timeout"]
    config.write_text(json.dumps(declared))

    assert "lambda_functions.api_handler.lambda_timeout must be" in refusal()

    config.write_text(json.dumps({**declared, "lambda_timeout": 29}))
    assert stage_config.read("dev", allow_empty_sids=True)


def test_missing_app_name_is_reported(config):
    declared = json.loads(COMMITTED)
    del declared["app_name"]
    config.write_text(json.dumps(declared))

    with pytest.raises(OperatorError, match="must set app_name"):
        stage_config.read("dev", allow_empty_sids=True)


def replace(parent, path, value):
    for name in path[:-1]:
        parent = parent[name]
    parent[path[-1]] = value


def paths_of(value):
    """Return the path of each key of nested objects."""
    if not isinstance(value, dict):
        return []
    nested = [[key, *path] for key, inner in value.items() for path in paths_of(inner)]
    return [[key] for key in value] + nested


@pytest.mark.parametrize("wrong", WRONG_VALUES)
def test_wrong_value_of_any_key_raises_no_unexpected_error(config, wrong):
    committed = json.loads(COMMITTED)
    for path in paths_of(committed):
        declared = copy.deepcopy(committed)
        replace(declared, path, wrong)
        config.write_text(json.dumps(declared))
        try:
            stage = stage_config.read("dev", allow_empty_sids=True)
        except OperatorError:
            continue
        assert policies.render(stage)
        assert fingerprint.compute(stage, 1_000)


def test_error_for_misspelled_stage_suggests_the_nearest_name(config):
    with pytest.raises(OperatorError, match=r"Declared stages: empty, prod\. Did you mean prod\?$"):
        stage_config.environment("prd", {})


def test_dev_and_prod_differ_only_in_names():
    stages = stage_config.project()["stages"]

    assert json.loads(json.dumps(stages["dev"]).replace("dev", "prod")) == stages["prod"]


def test_environment_variables_are_strings_as_lambda_requires():
    for stage in stage_config.project()["stages"].values():
        assert all(isinstance(value, str) for value in stage["environment_variables"].values())
