"""A contact centre whose app is deployed: what a test asks of it."""

import time
from dataclasses import dataclass

from local.demo.http_client import HttpClient


def eventually(look, seconds=10.0):
    """The first answer that is not empty; None once time is up."""
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


@dataclass
class Centre:
    """The app at its address under the API's stage, and TaskRouter, which calls it there."""

    app: HttpClient
    taskrouter: HttpClient
    names: object

    @classmethod
    def at(cls, url, token, twilio):
        centre = cls(
            app=HttpClient("app", url, token=token),
            taskrouter=HttpClient(
                "TaskRouter",
                f"{twilio.url}/v1/Workspaces/{twilio.workspace_sid}",
                account=(twilio.account_sid, twilio.auth_token),
            ),
            names=twilio,
        )
        centre.configure(AssignmentCallbackUrl=f"{url}/assignment_callback")
        return centre

    def configure(self, **form):
        workflow = f"/Workflows/{self.names.workflow_sid}"
        assert self.taskrouter.post(workflow, form).status == 200

    def turn_alice(self, activity):
        form = {"ActivitySid": self.names.activities[activity]}
        alice = f"/Workers/{self.names.workers['Alice']}"
        assert self.taskrouter.post(alice, form).status == 200

    def reserved(self):
        """A new Task, reserved for Alice, called back and recorded; the record."""
        created = self.app.post("/create-task")
        assert created.status == 201, created
        self.turn_alice("Idle")

        def look():
            listed = self.app.get("/reservations", {"status": "pending"})
            assert listed.status == 200, listed
            mine = [r for r in listed.body["reservations"] if r["task_sid"] == created.body["sid"]]
            return mine[0] if mine else None

        record = eventually(look)
        assert record, self.names.log("callback")
        return record

    def task_status(self, task_sid):
        return self.taskrouter.get(f"/Tasks/{task_sid}").body["assignment_status"]

    def walk(self):
        """A Task's life: created, reserved, called back, looked at, accepted, assigned."""
        record = self.reserved()
        assert record["status"] == "pending"
        accepted = self.app.post(f"/reservations/{record['reservation_sid']}/accept")
        assert (accepted.status, accepted.body["reservation_status"]) == (200, "accepted")
        assert accepted.body["worker_name"] == "Alice"
        assert self.task_status(record["task_sid"]) == "assigned"
        end = {"AssignmentStatus": "completed"}
        assert self.taskrouter.post(f"/Tasks/{record['task_sid']}", end).status == 200
