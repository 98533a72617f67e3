"""Keys and values in .chalice/config.json, other than environment variables."""

import copy
import inspect
import json
import re

import pytest
from chalice.config import Config as ChaliceConfig

from infra import OperatorError
from infra.aws import config_file, fingerprint, policies, stage_config
from tests.infra.stage_config.committed import COMMITTED, error_message

WRONG_VALUES = (None, 5, "x", "", [], [1], {}, True)
SWEEP_POLICY = "policies/dev-sweep.json"
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
        ("tags", {"service": "a;b"}, "tags.service is not a tag that AWS allows."),
        ("tags", {"service": "a" * 257}, "tags.service is not a tag that AWS allows."),
        ("tags", {"aws:service": "a"}, "tags.aws:service is not a tag that AWS allows."),
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
        ("api_gateway_endpoint_vpce", "vpce-1", "requires api_gateway_endpoint_type to be PRIVATE"),
        (
            "api_gateway_endpoint_type",
            "PRIVATE",
            "exactly one of api_gateway_endpoint_vpce and",
        ),
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

    assert error_message() == f"Stage dev in .chalice/config.json: {problem}"


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
def test_mistake_at_the_top_level_is_refused(config, key, value, problem):
    config.write_text(json.dumps({**json.loads(COMMITTED), key: value}))

    assert error_message().startswith(
        f"Stage dev in .chalice/config.json: at the top level, {problem}"
    )


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
def test_keys_are_accepted_with_the_keys_that_they_require(config, values):
    declared = json.loads(COMMITTED)
    declared["stages"]["dev"] |= values
    config.write_text(json.dumps(declared))

    assert stage_config.read("dev", allow_empty_sids=True)


def test_missing_autogen_policy_is_refused(config):
    declared = json.loads(COMMITTED)
    del declared["autogen_policy"]
    config.write_text(json.dumps(declared))

    assert "autogen_policy must be set to false, because" in error_message()


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

    assert error_message().endswith(
        "reserved_concurrency must be a whole number from 1 to 1000000, because 0 stops the "
        "function. To stop a function on purpose, use the AWS Console. To remove a stage, run "
        "`make destroy`."
    )


def test_shortest_timeouts_are_accepted(config):
    declared = json.loads(COMMITTED)
    for name, seconds in zip(FUNCTIONS, (29, 30), strict=True):
        replace(declared, f"stages/dev/{name}/lambda_timeout".split("/"), seconds)
    config.write_text(json.dumps(declared))

    assert stage_config.read("dev", allow_empty_sids=True)


def test_missing_timeout_of_the_api_is_refused(config):
    declared = json.loads(COMMITTED)
    del declared["stages"]["dev"]["lambda_functions"]["api_handler"]["lambda_timeout"]
    config.write_text(json.dumps(declared))

    assert "lambda_functions.api_handler.lambda_timeout must be" in error_message()

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
    """Return the path of each key in nested objects."""
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
