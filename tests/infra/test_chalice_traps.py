"""What Chalice's users run into (docs/chalice.md), where no other test would notice."""

import re
from pathlib import Path

import pytest

from infra.aws import stage_config
from tests.infra.packaging import package

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "chalice.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    return package(tmp_path_factory.mktemp("package"), "prod")


def test_log_groups_are_not_left_to_chalice():
    declared = stage_config.project()
    for level in (declared, *declared["stages"].values()):
        assert "log_retention_in_days" not in level
    assert declared["autogen_policy"] is False


def test_nobody_is_asked_before_the_function(packaged):
    (gateway,) = packaged.of_type("AWS::ApiGateway::RestApi").values()
    assert "securityDefinitions" not in gateway["Body"]
    for path in gateway["Body"]["paths"].values():
        assert not any("security" in method for method in path.values())


def test_lines_are_not_wrapped_once_more(packaged):
    for function in packaged.of_type("AWS::Lambda::Function").values():
        assert function.get("LoggingConfig", {}).get("LogFormat", "Text") == "Text"


def test_nothing_is_binary(packaged):
    (gateway,) = packaged.of_type("AWS::ApiGateway::RestApi").values()
    assert gateway["Body"]["x-amazon-apigateway-binary-media-types"] == []


def test_only_the_edge_knows_chalice():
    files = (ROOT / "chalicelib").rglob("*.py")
    knowing = {
        file.relative_to(ROOT / "chalicelib").parts[0]
        for file in files
        if re.search(r"^ *(from|import) chalice\b", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert knowing == {"routes"}


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", TABLE))))
def test_what_shows_that_a_trap_is_avoided_is_there(named):
    file, _, test = named.partition("::")
    assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8") if test else True
    assert (ROOT / file).exists()
