"""A running stack for tests, with real processes, HTTP requests and signatures."""

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.commands.token import create_token, read_api_key
from local import dynamodb, network, stack, supervisor
from local.demo import http_client
from local.demo.http_client import HttpClient
from local.supervisor import RunningStack

TIMEOUT_SECONDS = 20
"""Maximum wait for a condition, much longer than needed so that tests pass on a busy machine."""

STARTUP_SECONDS = supervisor.READY_SECONDS + TIMEOUT_SECONDS


def bare_environ(**variables):
    """Return a minimal shell environment with free ports and the given variables."""
    inherited = {
        name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ
    }
    ports = dict(zip(stack.PORTS, map(str, network.find_free_ports(3)), strict=True))
    return inherited | ports | variables


def eventually(condition, *, within=TIMEOUT_SECONDS):
    """Poll a condition until its value is true or time runs out; return the last value."""
    deadline = time.monotonic() + within
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return value


def find_processes(variable, value):
    """Return the IDs of the processes whose environment sets a variable to a value."""
    entry = f"{variable}={value}".encode()
    pids = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if entry in path.read_bytes().split(b"\0"):
                pids.append(int(path.parent.name))
        except OSError:
            continue  # The process has ended or belongs to another user.
    return pids


@dataclass(frozen=True)
class LiveStack:
    """A running stack, with HTTP clients for its app and its TaskRouter simulator."""

    definition: stack.Stack
    programs: RunningStack
    identifiers: dict
    app: HttpClient
    taskrouter: HttpClient

    @property
    def alice_path(self):
        return f"/Workers/{self.identifiers['workers']['Alice']}"

    def set_activity_of_alice(self, activity):
        form = {"ActivitySid": self.identifiers["activities"][activity]}
        assert self.taskrouter.post(self.alice_path, form).status == 200

    def set_contact_uri_of_alice(self):
        attributes = '{"languages": ["en", "es"], "contact_uri": "+15555555555"}'
        assert self.taskrouter.post(self.alice_path, {"Attributes": attributes}).status == 200

    def fetch_task(self, sid):
        return self.taskrouter.get(f"/Tasks/{sid}").body

    def activity_of_alice(self):
        return self.taskrouter.get(self.alice_path).body["activity_name"]

    def fetch_record(self, reservation_sid):
        return self.app.get(f"/reservations/{reservation_sid}").body

    def stored_status(self, reservation_sid):
        """Return the status stored in the table. This also works while the API is down."""
        definition = self.definition
        client = dynamodb.client(definition.dynamodb_url)
        key = {"reservation_sid": {"S": reservation_sid}}
        item = client.get_item(
            TableName=definition.tables.reservations, Key=key, ConsistentRead=True
        )["Item"]
        return item["status"]["S"]

    def create_pending_reservation(self):
        """Create a Task, set Alice to Idle, and return the Reservation once it is recorded."""
        task_sid = self.app.post("/create-task").body["sid"]
        self.set_activity_of_alice("Idle")

        def find_reservation():
            records = self.app.list_reservations("pending")
            return next((record for record in records if record["task_sid"] == task_sid), None)

        reservation = eventually(find_reservation)
        assert reservation, "the callback was not recorded"
        return reservation

    def clear(self):
        """Cancel or complete pending, reserved and assigned Tasks, and set Alice to Offline."""
        self.set_activity_of_alice("Offline")
        for task in self.taskrouter.get("/Tasks").body["tasks"]:
            final_statuses = {
                "pending": "canceled",
                "reserved": "canceled",
                "assigned": "completed",
            }
            if status := final_statuses.get(task["assignment_status"]):
                self.taskrouter.post(f"/Tasks/{task['sid']}", {"AssignmentStatus": status})
        self.set_activity_of_alice("Offline")


@contextmanager
def live_stack(environ, overrides=None):
    """Run a stack; *overrides* maps program names to extra environment variables."""
    definition = stack.describe(environ)
    with supervisor.running(definition, overrides) as programs:
        identifiers = http_client.fetch_identifiers(definition.simulator_url)
        settings = definition.settings
        token = create_token(settings, read_api_key(settings), role="supervisor", hours=1)
        workspace = f"{definition.simulator_url}/v1/Workspaces/{identifiers['workspace_sid']}"
        account = (identifiers["account_sid"], identifiers["auth_token"])
        yield LiveStack(
            definition=definition,
            programs=programs,
            identifiers=identifiers,
            app=HttpClient("app", definition.api_url, token=token, json=True),
            taskrouter=HttpClient("TaskRouter", workspace, account=account),
        )
