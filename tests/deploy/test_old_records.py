"""Reservations stored by the code of commit 8aa3165 can be read, accepted and swept."""

import boto3
import pytest

import app as functions
from chalicelib.domain.reservations import Status
from infra.aws import Aws, live_state, stage_config
from local import functions as local_functions
from tests.deploy import old_stage

ITEMS = old_stage.read("items.json")
RECORDS = ITEMS["reservations"]
PENDING = ("pending", "claimed", "instructed", "reconciled")
CLAIM_LEASE_MS = 30_000


@pytest.fixture
def old_app(api, tables, dynamodb):
    """The app with the old items in its tables, one second after the last write."""
    api.clock.now = old_stage.NOW + 1_000
    client = dynamodb.client()
    for table, items in ((tables.reservations, RECORDS), (tables.state, ITEMS["state"])):
        for item in items.values():
            client.put_item(TableName=table, Item=item)
    for item in RECORDS.values():
        api.taskrouter.add(
            Status(item["status"]["S"]),
            created_at=int(item["reserved_at"]["N"]),
            reservation_sid=item["reservation_sid"]["S"],
            task_sid=item["task_sid"]["S"],
            worker_sid=item["worker_sid"]["S"],
        )
    return api


def sid_of(label):
    return RECORDS[label]["reservation_sid"]["S"]


def get(api, label):
    response = api.call("GET", f"/reservations/{sid_of(label)}")
    assert response.status_code == 200
    return response.json_body


def accept(api, label):
    return api.post_json(f"/reservations/{sid_of(label)}/accept", {})


def run_sweep():
    functions.sweep(local_functions.scheduled_event(), local_functions.LambdaContext())


def test_old_records_are_listed(old_app):
    listed = old_app.call("GET", "/reservations").json_body["reservations"]
    assert {record["reservation_sid"] for record in listed} == set(map(sid_of, RECORDS))
    for status_name in ("pending", "accepted", "rejected", "timeout"):
        page = old_app.call("GET", f"/reservations?status={status_name}").json_body["reservations"]
        assert {record["reservation_sid"] for record in page} == {
            sid_of(label) for label in RECORDS if RECORDS[label]["status"]["S"] == status_name
        }
    worker_sid = RECORDS["accepted"]["worker_sid"]["S"]
    page = old_app.call("GET", f"/reservations?worker_sid={worker_sid}").json_body["reservations"]
    (record,) = page
    assert record["reservation_sid"] == sid_of("accepted")


@pytest.mark.parametrize("label", RECORDS)
def test_old_record_is_returned(old_app, label):
    item, record = RECORDS[label], get(old_app, label)

    for name in ("reservation_sid", "task_sid", "worker_sid", "status"):
        assert record[name] == item[name]["S"]
    history = [entry["M"] for entry in item["history"]["L"]]
    assert [(entry["to"], entry["by"]) for entry in record["history"]] == [
        (entry["to"]["S"], entry["by"]["S"]) for entry in history
    ]
    if label == "reconciled":
        assert record["callback"] is None
    else:
        callback = record["callback"]
        assert callback["WorkflowSid"] == item["workflow_sid"]["S"]
        assert callback["TaskAge"] == item["parameters"]["M"]["TaskAge"]["S"]
    if label == "instructed":
        assert record["instruction_sent"]["instruction"]["instruction"] == "dequeue"


@pytest.mark.parametrize("label", ["pending", "reconciled"])
def test_old_pending_reservation_can_be_accepted(old_app, label):
    accepted = accept(old_app, label)

    assert (accepted.status_code, accepted.json_body["reservation_status"]) == (200, "accepted")
    assert get(old_app, label)["status"] == "accepted"
    assert old_app.taskrouter.calls["update"] == 1


def test_old_claim_blocks_other_callers_until_its_lease_expires(old_app):
    failed = accept(old_app, "claimed")
    assert (failed.status_code, failed.json_body["Code"]) == (503, "OutcomeUnknown")
    assert old_app.taskrouter.calls["update"] == 0

    old_app.clock.now += CLAIM_LEASE_MS
    accepted = accept(old_app, "claimed")
    assert (accepted.status_code, accepted.json_body["reservation_status"]) == (200, "accepted")


def test_old_decision_is_returned_without_another_update_request(old_app):
    repeated = accept(old_app, "accepted")

    assert (repeated.status_code, repeated.json_body["reservation_status"]) == (200, "accepted")
    assert accept(old_app, "rejected").status_code == 409
    assert old_app.taskrouter.calls["update"] == 0


def test_repeated_callback_for_an_old_record_gets_the_stored_answer(old_app):
    item = RECORDS["accepted"]
    parameters = old_app.callback_parameters(
        ReservationSid=sid_of("accepted"),
        TaskSid=item["task_sid"]["S"],
        WorkerSid=item["worker_sid"]["S"],
    )

    response = old_app.post_callback(parameters)

    assert (response.status_code, response.json_body) == (200, {})
    assert get(old_app, "accepted")["status"] == "accepted"


def test_old_records_are_swept(old_app):
    for label in PENDING:
        old_app.taskrouter.set_status(sid_of(label), Status.TIMEOUT)
    old_app.taskrouter.set_status(sid_of("accepted"), Status.COMPLETED)
    old_app.clock.now += 3_600_000

    run_sweep()

    statuses = {label: get(old_app, label)["status"] for label in RECORDS}
    assert statuses == {
        **dict.fromkeys((*PENDING, "timeout"), "timeout"),
        "accepted": "completed",
        "rejected": "rejected",
    }
    (line,) = [line for line in old_app.lines() if line["event"] == "sweep"]
    assert (line["ok"], line["due"]) == (True, len(PENDING) + 1)


def test_reconciliation_continues_from_the_old_state(old_app, dynamodb, tables):
    before = ITEMS["state"]["last_reconcile"]
    missed = old_app.taskrouter.add(created_at=old_stage.NOW)
    old_app.taskrouter.add_event(missed, Status.TIMEOUT, at=old_stage.NOW)

    run_sweep()
    assert old_app.call("GET", f"/reservations/{missed.reservation_sid}").status_code == 404
    old_app.clock.now += 300_000
    run_sweep()
    assert old_app.call("GET", f"/reservations/{missed.reservation_sid}").status_code == 200

    key = {"id": {"S": "last_reconcile"}}
    after = dynamodb.client().get_item(TableName=tables.state, Key=key)["Item"]
    assert after.keys() >= before.keys()  # the old version can still read the item
    assert int(after["done_until"]["N"]) > int(before["done_until"]["N"])


def test_old_idempotency_key_returns_its_task(old_app):
    body = {"attributes": {"selected_language": "en"}, "priority": 3}
    created = old_app.post_json("/create-task", body, headers={"Idempotency-Key": "order-1"})

    answer = ITEMS["state"]["key"]["answer"]["M"]
    assert (created.status_code, created.json_body["sid"]) == (201, answer["sid"]["S"])
    assert old_app.taskrouter.calls["create"] == 0


@pytest.mark.usefixtures("old_app")
def test_last_sweep_recorded_by_the_old_version_can_be_read(dynamodb, tables, monkeypatch):
    for name, value in dynamodb.environ.items():
        monkeypatch.setenv(name, value)
    names = {"RESERVATIONS_TABLE": tables.reservations, "STATE_TABLE": tables.state}
    settings = stage_config.config.load(stage_config.environment("local", names))
    stage = stage_config.Stage("dev", "taskrouter-callbacks", settings, {})
    aws = Aws(boto3.Session(), "aws", "us-east-1", "1" * 12, "arn:aws:iam::1:user/ann")

    sweep = live_state.last_sweep(aws, stage)

    assert (sweep["at"], sweep["ok"]) == (old_stage.NOW, True)
