"""Template properties that the local emulators ignore."""

import json

import pytest

from infra.aws import stacks, template


@pytest.fixture(scope="module")
def tables():
    resources = template.read()["Resources"]
    tables = {
        name: resource
        for name, resource in resources.items()
        if resource["Type"] == "AWS::DynamoDB::Table"
    }
    assert tables.keys() == {"Reservations", "State"}
    return tables.values()


def test_tables_survive_updates_and_deletion_of_the_stack(tables):
    for table in tables:
        # CloudFormation deletes such a table only if it rolls back the operation that created it.
        assert table["DeletionPolicy"] == "RetainExceptOnCreate"
        assert table["UpdateReplacePolicy"] == "Retain"
        assert table["Properties"]["DeletionProtectionEnabled"] == {"Ref": "DeletionProtection"}
    parameters = template.read()["Parameters"]
    assert parameters["DeletionProtection"]["Default"] == "true"


def test_tables_are_encrypted_and_restorable_and_have_a_ttl(tables):
    for table in tables:
        properties = table["Properties"]
        # DynamoDB encrypts every table. An AWS owned key is free.
        assert properties["SSESpecification"] == {"SSEEnabled": False}
        assert properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
        assert properties["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
        assert properties["BillingMode"] == "PAY_PER_REQUEST"


def test_stack_contains_only_the_tables_if_the_operate_parameter_is_false():
    resources = template.read()["Resources"]
    conditions = {name: resource.get("Condition") for name, resource in resources.items()}
    assert {name for name, condition in conditions.items() if not condition} == {
        "Reservations",
        "State",
    }
    assert set(conditions.values()) == {None, "IsOperated", "IsAccessLogged"}
    operated, _ = template.read()["Conditions"]["IsAccessLogged"]["Fn::And"]
    assert operated == {"Condition": "IsOperated"}


def test_template_is_below_the_size_limit_of_a_request():
    assert template.FILE.stat().st_size < 51_200


def test_no_output_refers_to_a_table():
    # The import of a restored table must not change outputs.
    outputs = template.read()["Outputs"].values()
    assert {output["Value"]["Ref"] for output in outputs}.isdisjoint({"Reservations", "State"})


@pytest.mark.parametrize("names", [("Reservations",), ("State",), ("Reservations", "State")])
def test_import_adds_only_the_imported_tables(names):
    whole = template.read()

    imported = json.loads(stacks._import_template(dict.fromkeys(names, "any")))

    assert imported["Resources"] == {name: whole["Resources"][name] for name in names}
    assert imported["Parameters"] == whole["Parameters"]
    assert "Outputs" not in imported
