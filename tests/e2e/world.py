"""A whole stack under test: real processes, real HTTP, real signatures."""

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.commands.token import create_token, read_api_key
from local import dynamodb, network, stack, supervisor
from local.demo import http_client
from local.demo.http_client import Caller
from local.supervisor import Running

PATIENCE = 20
"""Seconds that a busy machine may take for what is a matter of moments."""


def bare_environ(**own):
    """The shell of somebody who has set nothing, on free ports."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    numbers = dict(zip(stack.DEFAULT_PORTS, map(str, network.find_free(3)), strict=True))
    return kept | numbers | own


def eventually(look, *, within=PATIENCE):
    """Look until it is true; return what was seen last."""
    deadline = time.monotonic() + within
    while not (seen := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return seen


def processes_with(variable, value):
    """The process ids whose environment has this variable, which ours is not among."""
    entry = f"{variable}={value}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if entry in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue  # ended meanwhile, or not ours
    return found


@dataclass(frozen=True)
class World:
    described: stack.Stack
    running: Running
    names: dict
    app: Caller
    taskrouter: Caller

    @property
    def alice(self):
        return f"/Workers/{self.names['workers']['Alice']}"

    def turn_alice(self, activity):
        form = {"ActivitySid": self.names["activities"][activity]}
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
        """What the table says, whether or not the API lives."""
        described = self.described
        client = dynamodb.client("dynamodb", described.dynamodb_url, described.resolved)
        key = {"reservation_sid": {"S": reservation_sid}}
        item = client.get_item(
            TableName=described.tables.reservations, Key=key, ConsistentRead=True
        )["Item"]
        return item["status"]["S"]

    def pending_reservation(self):
        """A Task for Alice, reserved, called back and recorded."""
        task_sid = self.app.post("/create-task").body["sid"]
        self.turn_alice("Idle")

        def look():
            listed = self.app.get("/reservations", {"status": "pending"}).body["reservations"]
            return next((r for r in listed if r["task_sid"] == task_sid), None)

        reservation = eventually(look)
        assert reservation, "the callback never came"
        return reservation

    def clear(self):
        """Ends every Task and sends Alice Offline, so that the next test finds nothing going on."""
        self.turn_alice("Offline")
        for task in self.taskrouter.get("/Tasks").body["tasks"]:
            end = {"pending": "canceled", "reserved": "canceled", "assigned": "completed"}
            if status := end.get(task["assignment_status"]):
                self.taskrouter.post(f"/Tasks/{task['sid']}", {"AssignmentStatus": status})
        self.turn_alice("Offline")


@contextmanager
def world(environ, overrides=None):
    """Run a stack for this shell; `overrides` are variables that one program gets."""
    described = stack.describe(environ)
    with supervisor.running(described, overrides) as running:
        names = http_client.names(described.simulator_url)
        token = create_token(
            described.settings,
            read_api_key(described.settings),
            role="supervisor",
            hours=1,
        )
        workspace = f"{described.simulator_url}/v1/Workspaces/{names['workspace_sid']}"
        account = (names["account_sid"], names["auth_token"])
        yield World(
            described=described,
            running=running,
            names=names,
            app=Caller("app", described.api_url, token=token, json=True),
            taskrouter=Caller("TaskRouter", workspace, account=account),
        )
