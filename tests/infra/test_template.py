"""The template itself: what the local engine does not carry out must be right all the same."""

from pathlib import Path

import pytest
import yaml

TEMPLATE = Path(__file__).parents[2] / "infra" / "tables.yaml"


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's tags, read as {tag: value}."""


Loader.add_multi_constructor("!", lambda loader, tag, node: {tag: loader.construct_scalar(node)})


@pytest.fixture(scope="module")
def template():
    return yaml.load(TEMPLATE.read_text(encoding="utf-8"), Loader)  # noqa: S506  # a SafeLoader


def test_no_update_and_no_deletion_of_the_stack_takes_a_table_away(template):
    for table in template["Resources"].values():
        assert table["DeletionPolicy"] == "Retain"
        assert table["UpdateReplacePolicy"] == "Retain"
        assert table["Properties"]["DeletionProtectionEnabled"] == {"Ref": "DeletionProtection"}
    assert template["Parameters"]["DeletionProtection"]["Default"] == "true"


def test_both_tables_are_encrypted_restorable_and_forget_in_time(template):
    for table in template["Resources"].values():
        properties = table["Properties"]
        assert properties["SSESpecification"] == {"SSEEnabled": True}
        assert properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
        assert properties["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
        assert properties["BillingMode"] == "PAY_PER_REQUEST"
