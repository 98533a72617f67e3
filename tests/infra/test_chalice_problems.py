"""The project avoids known problems in Chalice (docs/chalice.md) that no other test covers."""

import re
from pathlib import Path

import pytest

from infra.aws import stage_config
from tests.infra.packaging import package

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "chalice.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def packaged_stage(tmp_path_factory):
    return package(tmp_path_factory.mktemp("package"), "prod")


def test_log_retention_and_policies_are_not_left_to_chalice():
    project_config = stage_config.project()
    for level in (project_config, *project_config["stages"].values()):
        assert "log_retention_in_days" not in level
    assert project_config["autogen_policy"] is False


def test_api_has_no_authorizers(packaged_stage):
    (gateway,) = packaged_stage.of_type("AWS::ApiGateway::RestApi").values()
    assert "securityDefinitions" not in gateway["Body"]
    for path in gateway["Body"]["paths"].values():
        assert not any("security" in method for method in path.values())


def test_lambda_does_not_wrap_json_log_lines(packaged_stage):
    for function in packaged_stage.of_type("AWS::Lambda::Function").values():
        assert function.get("LoggingConfig", {}).get("LogFormat", "Text") == "Text"


def test_api_has_no_binary_media_types(packaged_stage):
    (gateway,) = packaged_stage.of_type("AWS::ApiGateway::RestApi").values()
    assert gateway["Body"]["x-amazon-apigateway-binary-media-types"] == []


def test_only_routes_import_chalice():
    files = (ROOT / "chalicelib").rglob("*.py")
    importing = {
        file.relative_to(ROOT / "chalicelib").parts[0]
        for file in files
        if re.search(r"^ *(from|import) chalice\b", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert importing == {"routes"}


@pytest.mark.parametrize(
    "reference", sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", TABLE)))
)
def test_tests_cited_in_the_table_exist(reference):
    file, _, test = reference.partition("::")
    assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8") if test else True
    assert (ROOT / file).exists()
