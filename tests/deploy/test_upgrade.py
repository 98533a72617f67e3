"""In-place upgrade of a stage that was deployed from commit 8aa3165."""

import json
import time

import pytest

from chalicelib import __version__
from tests.deploy import old_stage
from tests.deploy.conftest import STAGE, subscribe_to_alarms
from tests.deploy.contact_center import ContactCenter, eventually, set_callback_urls
from tests.deploy.test_deploy import SCHEDULE_SECONDS, api_url, deploy, put_secrets, token

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NAME = f"taskrouter-callbacks-{STAGE}"
TABLES = (f"{NAME}-reservations", f"{NAME}-state")


@pytest.fixture
def old_api_id(aws, checkout, secrets):
    """Create the old stage and return the ID of its API."""
    put_secrets(checkout, secrets)
    template = checkout.folder / "infra" / "stage.yaml"
    current = template.read_text()
    template.write_text((old_stage.FIXTURES / "stage.json").read_text())
    checkout.infra("prepare", "--stage", STAGE)
    template.write_text(current)
    api_id = old_stage.create_resources(aws, STAGE)
    (bucket,) = aws.list_resources()["buckets"]
    old_stage.put_record(aws, bucket, STAGE, api_id)
    return api_id


def put_old_items(aws, reservations):
    """Store the old items with current times; return SIDs by label.

    The newest item is one minute old. *reservations* contains simulator Reservations by label.
    Records with the same labels get the SIDs of these Reservations.
    """
    items = old_stage.read("items.json")
    ms = round(time.time() * 1000) - 60_000 - old_stage.NOW
    records = {label: old_stage.shift(item, ms) for label, item in items["reservations"].items()}
    for label, reservation in reservations.items():
        records[label] |= {
            "reservation_sid": {"S": reservation["sid"]},
            "task_sid": {"S": reservation["task_sid"]},
            "worker_sid": {"S": reservation["worker_sid"]},
        }
    state = {name: old_stage.shift(item, ms) for name, item in items["state"].items()}
    for table, stored in zip(TABLES, (records, state), strict=True):
        for item in stored.values():
            aws.client("dynamodb").put_item(TableName=table, Item=item)
    return {label: record["reservation_sid"]["S"] for label, record in records.items()}


def identities(aws):
    """Return the names, IDs and creation times that an upgrade must keep."""
    functions = aws.client("lambda").list_functions()["Functions"]
    tables = [aws.client("dynamodb").describe_table(TableName=name)["Table"] for name in TABLES]
    return {
        "apis": [api["id"] for api in aws.client("apigateway").get_rest_apis()["items"]],
        "functions": sorted(
            (function["FunctionArn"], function["Handler"], function["Role"])
            for function in functions
        ),
        "tables": [(table["TableName"], table["CreationDateTime"]) for table in tables],
        **{
            kind: aws.list_resources()[kind]
            for kind in ("roles", "rules", "buckets", "topics", "log groups", "stacks")
        },
    }


def test_old_stage_keeps_its_url_and_its_records(aws, checkout, twilio, old_api_id):
    url = api_url(aws)
    checkout.set(PUBLIC_BASE_URL=url)
    center = ContactCenter.connect(url, token(checkout), twilio)
    assert center.app.get("/health").body["version"] == old_stage.VERSION
    reservations = {
        "pending": center.create_reservation("Alice", "es"),
        "claimed": center.create_reservation("Bob", "en"),
    }
    sids = put_old_items(aws, reservations)
    before, alarms = identities(aws), aws.list_resources()["alarms"]

    result = deploy(checkout)

    assert identities(aws) == before
    assert set(aws.list_resources()["alarms"]) > set(alarms)
    assert before["apis"] == [old_api_id]
    assert result == {"url": url, "assignment_callback": f"{url}/assignment_callback"}
    assert center.app.get("/health").body["version"] == __version__

    # The API lists and returns the old records.
    listed = center.app.get("/reservations").body["reservations"]
    assert {record["reservation_sid"] for record in listed} >= set(sids.values())
    for label in ("accepted", "rejected", "timeout"):
        record = center.app.get(f"/reservations/{sids[label]}").body
        assert record["status"] == label
        assert record["history"][0]["to"] == "pending"

    # An old pending Reservation can be accepted.
    task_sid = reservations["pending"]["task_sid"]
    center.accept_and_complete({"reservation_sid": sids["pending"], "task_sid": task_sid})

    # The sweep records the cancellation of a Reservation with an old claim.
    center.cancel(reservations["claimed"]["task_sid"])
    path = f"/reservations/{sids['claimed']}"
    assert eventually(lambda: center.app.get(path).body["status"] == "canceled", SCHEDULE_SECONDS)
    subscribe_to_alarms(aws)
    set_callback_urls(twilio, url)
    status = json.loads(checkout.infra("status", "--stage", STAGE, "--json"))
    assert status["last_sweep"]["ok"] is True
