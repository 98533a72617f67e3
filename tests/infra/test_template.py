"""The template itself: what the local engine does not carry out must be right all the same."""

import pytest

from tests.infra import templates


@pytest.fixture(scope="module")
def template():
    return templates.read("tables.yaml")


def test_no_update_and_no_deletion_of_the_stack_takes_a_table_away(template):
    for table in template["Resources"].values():
        # Kept, but for what an attempt to create the stack leaves behind.
        assert table["DeletionPolicy"] == "RetainExceptOnCreate"
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
