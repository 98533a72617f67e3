"""On a local stack, the console's routes list offers, reject them and switch the Activity."""

from datetime import datetime

import pytest
import requests

from infra.commands.token import create_token, read_api_key
from tests.e2e.live_stack import bare_environ, eventually, live_stack

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def live():
    with live_stack(bare_environ(SIMULATOR_EVENT_PATH="/event_callback")) as running:
        yield running


@pytest.fixture
def console(live):
    """A session with Alice's console token. The stack is cleared after each test."""
    settings = live.definition.settings
    token = create_token(
        settings,
        read_api_key(settings),
        role="worker",
        hours=1,
        worker_sid=live.identifiers["workers"]["Alice"],
    )
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {token}"
        yield session
    live.clear()


def poll(live, console, tag=None):
    headers = {"If-None-Match": tag} if tag else {}
    return console.get(f"{live.definition.api_url}/overview", headers=headers, timeout=15)


def activity(live, console):
    """Return the name of Alice's Activity in the overview."""
    return poll(live, console).json()["worker"]["activity_name"]


def test_offer_is_listed_with_the_names_of_its_resources_until_it_ends(live, console):
    empty = poll(live, console)
    assert empty.json()["reservations"] == []
    assert poll(live, console, empty.headers["ETag"]).status_code == 304

    def list_with_names():
        reservations = poll(live, console).json()["reservations"]
        return [item for item in reservations if item["task_queue_name"]]

    record = live.create_pending_reservation()
    (listed,) = eventually(list_with_names)
    assert listed["reservation_sid"] == record["reservation_sid"]
    assert None not in (listed["worker_name"], listed["workflow_name"], listed["task_created_at"])
    expires_at = datetime.fromisoformat(listed["expires_at"]).timestamp() * 1000
    server_time = int(poll(live, console).headers["Server-Time"])
    timeout_ms = live.definition.settings.reservation_timeout_seconds * 1000
    assert 0 < expires_at - server_time <= timeout_ms

    rejected = console.post(
        f"{live.definition.api_url}/reservations/{listed['reservation_sid']}/reject",
        json={"activity_sid": live.identifiers["activities"]["Offline"]},
        timeout=15,
    )
    assert rejected.status_code == 200
    assert poll(live, console).json()["reservations"] == []
    assert eventually(lambda: activity(live, console) == "Offline")


def test_activity_is_switched_and_a_change_in_taskrouter_is_shown(live, console):
    url = live.definition.api_url
    listed = console.get(f"{url}/activities", timeout=15).json()
    sids = {item["name"]: item["sid"] for item in listed["activities"]}
    assert sids == live.identifiers["activities"]

    switched = console.post(f"{url}/activity", json={"activity_sid": sids["Idle"]}, timeout=15)
    assert switched.status_code == 200
    assert live.activity_of_alice() == "Idle"
    assert activity(live, console) == "Idle"

    live.set_activity_of_alice("Offline")
    assert eventually(lambda: activity(live, console) == "Offline")
