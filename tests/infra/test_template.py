"""The template itself: what the local engine does not carry out must be right all the same."""

import pytest

from tests.infra import templates


@pytest.fixture(scope="module")
def tables():
    resources = templates.read("stage.yaml")["Resources"]
    found = {name: one for name, one in resources.items() if one["Type"] == "AWS::DynamoDB::Table"}
    assert found.keys() == {"Reservations", "State"}
    return found.values()


def test_no_update_and_no_deletion_of_the_stack_takes_a_table_away(tables):
    for table in tables:
        # Kept, but for what an attempt to create the stack leaves behind.
        assert table["DeletionPolicy"] == "RetainExceptOnCreate"
        assert table["UpdateReplacePolicy"] == "Retain"
        assert table["Properties"]["DeletionProtectionEnabled"] == {"Ref": "DeletionProtection"}
    parameters = templates.read("stage.yaml")["Parameters"]
    assert parameters["DeletionProtection"]["Default"] == "true"


def test_both_tables_are_encrypted_restorable_and_forget_in_time(tables):
    for table in tables:
        properties = table["Properties"]
        assert properties["SSESpecification"] == {"SSEEnabled": True}
        assert properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
        assert properties["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
        assert properties["BillingMode"] == "PAY_PER_REQUEST"


def test_all_but_the_tables_goes_where_nothing_is_operated():
    resources = templates.read("stage.yaml")["Resources"]
    conditions = {name: one.get("Condition") for name, one in resources.items()}
    assert {name for name, condition in conditions.items() if not condition} == {
        "Reservations",
        "State",
    }
    assert set(conditions.values()) == {None, "IsOperated"}


def test_the_template_can_be_sent_as_it_is():
    assert (templates.INFRA / "stage.yaml").stat().st_size < 51_200


def test_the_tables_have_no_outputs_so_that_a_restored_one_can_be_imported():
    outputs = templates.read("stage.yaml")["Outputs"].values()
    assert {one["Value"]["Ref"] for one in outputs}.isdisjoint({"Reservations", "State"})
