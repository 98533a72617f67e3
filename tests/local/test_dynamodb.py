import time

from local import dynamodb as local_dynamodb
from local import network


def test_tables_have_the_keys_and_indexes_used_by_the_store(dynamodb, tables):
    table = dynamodb.client().describe_table(TableName=tables.reservations)["Table"]

    indexes = {i["IndexName"]: i for i in table["GlobalSecondaryIndexes"]}
    keys = {
        name: [k["AttributeName"] for k in index["KeySchema"]] for name, index in indexes.items()
    }
    assert [k["AttributeName"] for k in table["KeySchema"]] == ["reservation_sid"]
    assert keys == {
        "due": ["open_as", "due_at"],
        "by_worker": ["worker_sid", "reserved_at"],
        "by_hour": ["hour", "reserved_at"],
    }
    assert set(indexes["due"]["Projection"]["NonKeyAttributes"]) == {
        "task_sid",
        "worker_sid",
        "reserved_at",
        "expires_at",
        "checks",
        "claim_until",
    }


def test_creating_existing_tables_again_keeps_their_items(dynamodb):
    client, cloudformation = dynamodb.client(), dynamodb.client("cloudformation")
    tables = local_dynamodb.TableNames("existing-reservations", "existing-state")
    local_dynamodb.create_tables(cloudformation, tables, stack="existing")
    client.put_item(TableName=tables.state, Item={"id": {"S": "kept"}})

    local_dynamodb.create_tables(cloudformation, tables, stack="existing")

    assert client.get_item(TableName=tables.state, Key={"id": {"S": "kept"}})["Item"]


def test_each_test_gets_separate_tables_within_a_second(dynamodb):
    first = dynamodb.create_tables()
    started = time.monotonic()
    second = dynamodb.create_tables()

    assert time.monotonic() - started < 1
    assert {first.reservations, first.state}.isdisjoint({second.reservations, second.state})


def test_emulator_is_ready_when_both_tables_exist(dynamodb, tables):
    missing_table = local_dynamodb.TableNames(tables.reservations, "absent")

    assert local_dynamodb.TablesProbe(dynamodb.url, tables, dynamodb.environ)()
    assert not local_dynamodb.TablesProbe(dynamodb.url, missing_table, dynamodb.environ)()


def test_stopped_emulator_is_not_ready(tables):
    (port,) = network.find_free_ports(1)

    assert not local_dynamodb.TablesProbe(f"http://127.0.0.1:{port}", tables, {})()
