"""Stages declared in .chalice/config.json."""

import copy
import json

import pytest

from infra import OperatorError
from infra.aws import fingerprint, policies, stage_config

WRONG_VALUES = (None, 5, "x", "", [], [1], {}, True)
COMMITTED = stage_config.CONFIG.read_text(encoding="utf-8")
SWEEP_POLICY = "policies/dev-sweep.json"


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


def test_byte_order_mark_in_the_file_is_reported_because_chalice_cannot_read_it(config):
    config.write_text("{}", encoding="utf-8-sig")

    with pytest.raises(OperatorError, match="without a byte order mark"):
        stage_config.environment("dev", {})


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"RETENTION_DAYS": 5}, "RETENTION_DAYS must be a string in quotation marks."),
        ({"PUBLIC_BASE_URL": None}, "PUBLIC_BASE_URL must be a string in quotation marks."),
        ([1], "environment_variables must be an object."),
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
        ([], "must contain a JSON object with the member stages."),
        (None, "must contain a JSON object with the member stages."),
        ({"stages": None}, "stages must be an object with one member per stage."),
        ({"stages": {"dev": None}}, "the stage dev must be an object."),
        ({"stages": {"dev": [1]}}, "the stage dev must be an object."),
        ({"stages": {"dev": "x"}}, "the stage dev must be an object."),
    ],
)
def test_error_for_a_file_of_the_wrong_shape_says_what_is_expected(config, content, problem):
    config.write_text(json.dumps(content))

    with pytest.raises(OperatorError, match=problem):
        stage_config.read("dev", allow_empty_sids=True)


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("lambda_functions", [], "lambda_functions must be an object."),
        ("lambda_functions", None, "lambda_functions must be an object."),
        ("lambda_functions/api_handler", None, "api_handler must be an object."),
        ("api_gateway_custom_domain", "x", "api_gateway_custom_domain must be an object."),
        ("api_gateway_custom_domain", None, "api_gateway_custom_domain must be an object."),
        ("api_gateway_custom_domain", {"x": 1}, "domain_name of api_gateway_custom_domain must"),
        ("api_gateway_policy_file", 5, "api_gateway_policy_file must be a file name"),
        *(
            ("lambda_functions/api_handler/iam_policy_file", file, "must be the path of a JSON")
            for file in (5, None, ".", "policies", "../../../evil.json", "config.json", "a\0.json")
        ),
        ("lambda_functions/api_handler/iam_policy_file", SWEEP_POLICY, "must differ between"),
    ],
)
def test_error_for_a_wrong_member_names_the_stage_and_the_member(config, path, value, problem):
    declared = json.loads(COMMITTED)
    replace(declared["stages"]["dev"], path.split("/"), value)
    config.write_text(json.dumps(declared))

    with pytest.raises(OperatorError, match=f"^Stage dev in .chalice/config.json: .*{problem}"):
        stage_config.read("dev", allow_empty_sids=True)


def test_missing_app_name_is_reported(config):
    declared = json.loads(COMMITTED)
    del declared["app_name"]
    config.write_text(json.dumps(declared))

    with pytest.raises(OperatorError, match="must set app_name"):
        stage_config.read("dev", allow_empty_sids=True)


@pytest.mark.parametrize("character", ["x", "é", "名", "🙂", "\ud800"])
def test_environment_larger_than_lambdas_limit_is_refused(config, character):
    declared = json.loads(COMMITTED)
    variables = declared["stages"]["dev"]["environment_variables"]
    config.write_text(json.dumps(declared))
    used = sum(
        len((name + value).encode())
        for name, value in {
            **stage_config.environment("dev", {}),
            **dict.fromkeys(stage_config.empty_sids("dev"), "AC" + "0" * 32),
        }.items()
    )
    width = len(character.encode("utf-8", "surrogatepass"))
    room = 4_096 - used - len("OTHER")

    variables["OTHER"] = character * (room // width)
    config.write_text(json.dumps(declared))
    assert stage_config.read("dev", allow_empty_sids=True)
    variables["OTHER"] += character
    config.write_text(json.dumps(declared))
    with pytest.raises(OperatorError, match="bytes as UTF-8, but Lambda allows 4096"):
        stage_config.read("dev", allow_empty_sids=True)


def replace(parent, path, value):
    for name in path[:-1]:
        parent = parent[name]
    parent[path[-1]] = value


def paths_of(value):
    """Return the path of each member of nested objects."""
    if not isinstance(value, dict):
        return []
    nested = [[key, *path] for key, member in value.items() for path in paths_of(member)]
    return [[key] for key in value] + nested


@pytest.mark.parametrize("wrong", WRONG_VALUES)
def test_wrong_value_of_any_member_raises_no_unexpected_error(config, wrong):
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
        assert fingerprint.compute(stage)


def test_error_for_misspelled_stage_suggests_the_nearest_name(config):
    with pytest.raises(OperatorError, match=r"Declared stages: empty, prod\. Did you mean prod\?$"):
        stage_config.environment("prd", {})


def test_dev_and_prod_differ_only_in_names():
    stages = stage_config.project()["stages"]

    assert json.loads(json.dumps(stages["dev"]).replace("dev", "prod")) == stages["prod"]


def test_environment_variables_are_strings_as_lambda_requires():
    for stage in stage_config.project()["stages"].values():
        assert all(isinstance(value, str) for value in stage["environment_variables"].values())
