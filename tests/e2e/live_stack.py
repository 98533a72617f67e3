"""A running stack for tests: real processes, real HTTP, real signatures."""

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
"""Much longer than needed, so that a busy machine does not fail a test."""

STARTUP_SECONDS = supervisor.READY_SECONDS + TIMEOUT_SECONDS


def bare_environ(**variables):
    """Return a minimal shell environment with free ports and these variables."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    ports = dict(zip(stack.PORTS, map(str, network.find_free_ports(3)), strict=True))
    return kept | ports | variables


def eventually(condition, *, within=TIMEOUT_SECONDS):
    """Poll until the condition returns a true value; return its last value."""
    deadline = time.monotonic() + within
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return value


def find_processes(variable, value):
    """Return the IDs of the processes whose environment contains this variable."""
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
    definition: stack.Stack
    programs: RunningStack
    identifiers: dict
    app: HttpClient
    taskrouter: HttpClient

    @property
    def alice(self):
        return f"/Workers/{self.identifiers['workers']['Alice']}"

    def set_alice(self, activity):
        form = {"ActivitySid": self.identifiers["activities"][activity]}
        assert self.taskrouter.post(self.alice, form).status == 200

    def give_alice_a_phone(self):
        attributes = '{"languages": ["en", "es"], "contact_uri": "+15555555555"}'
        assert self.taskrouter.post(self.alice, {"Attributes": attributes}).status == 200

    def task(self, sid):
        return self.taskrouter.get(f"/Tasks/{sid}").body

    def activity_of_alice(self):
        return self.taskrouter.get(self.alice).body["activity_name"]

    def record(self, reservation_sid):
        return self.app.get(f"/reservations/{reservation_sid}").body

    def stored_status(self, reservation_sid):
        """Read the status from the table, which works even if the API is down."""
        definition = self.definition
        client = dynamodb.client(definition.dynamodb_url, definition.resolved)
        key = {"reservation_sid": {"S": reservation_sid}}
        item = client.get_item(
            TableName=definition.tables.reservations, Key=key, ConsistentRead=True
        )["Item"]
        return item["status"]["S"]

    def pending_reservation(self):
        """Create a Task for Alice, and return its Reservation once the callback is recorded."""
        task_sid = self.app.post("/create-task").body["sid"]
        self.set_alice("Idle")

        def find():
            listed = self.app.get("/reservations", {"status": "pending"}).body["reservations"]
            return next((r for r in listed if r["task_sid"] == task_sid), None)

        reservation = eventually(find)
        assert reservation, "the callback was not recorded"
        return reservation

    def clear(self):
        """End all Tasks and set Alice to Offline, to give the next test a clean start."""
        self.set_alice("Offline")
        for task in self.taskrouter.get("/Tasks").body["tasks"]:
            end = {"pending": "canceled", "reserved": "canceled", "assigned": "completed"}
            if status := end.get(task["assignment_status"]):
                self.taskrouter.post(f"/Tasks/{task['sid']}", {"AssignmentStatus": status})
        self.set_alice("Offline")


@contextmanager
def live_stack(environ, overrides=None):
    """Run a stack for this shell environment; `overrides` sets variables by program."""
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
