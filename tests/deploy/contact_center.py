"""A contact center that uses the deployed app, with steps shared by several tests."""

import json
import time
from dataclasses import dataclass

from local.demo.http_client import HttpClient


def eventually(read, seconds=10.0):
    """Return the first truthy result of *read*, or the last result after *seconds*."""
    deadline = time.monotonic() + seconds
    while not (result := read()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return result


def make_worker_available(twilio, worker="Alice"):
    """Set a Worker's Activity to Idle, and the Workflow's reservation timeout to 120 s."""
    workspace = twilio.client().taskrouter.v1.workspaces(twilio.workspace_sid)
    workspace.workflows(twilio.workflow_sid).update(task_reservation_timeout=120)
    workspace.workers(twilio.workers[worker]).update(activity_sid=twilio.activities["Idle"])


def set_callback_urls(twilio, url):
    """Set all callback URLs of the Workspace and its Workflow to routes at *url*."""
    workspace = twilio.client().taskrouter.v1.workspaces(twilio.workspace_sid)
    workspace.update(event_callback_url=f"{url}/event_callback")
    workspace.workflows(twilio.workflow_sid).update(
        assignment_callback_url=f"{url}/assignment_callback",
        fallback_assignment_callback_url=f"{url}/assignment_callback/fallback",
    )


def first_deployment_dialog(twilio):
    """Return the first deployment's questions and answers, for `docs_runner.terminal.run`."""
    return [
        ("Account SID, .*: ", twilio.account_sid),
        ("Auth token .*: ", twilio.auth_token),
        ("API key SID, .*: ", twilio.api_key_sid),
        ("Secret of the API key .*: ", twilio.api_key_secret),
        ("Number of the Workspace .*: ", "1"),
        ("Number of the Workflow .*: ", "1"),
        (r"Change them\? .*: ", "y"),
        ("Email address .*: ", "you@example.com"),
        ("Attributes of the test Task .*: ", ""),
        (r"Create the test Task.*\? .*: ", "y"),
    ]


@dataclass
class ContactCenter:
    """Clients for the deployed app and for the simulator that calls the app."""

    app: HttpClient
    taskrouter: HttpClient
    simulator: object

    @classmethod
    def connect(cls, url, token, twilio):
        """Create the clients, and set the Workflow's assignment callback URL to the app's."""
        center = cls(
            app=HttpClient("app", url, token=token),
            taskrouter=HttpClient(
                "TaskRouter",
                f"{twilio.url}/v1/Workspaces/{twilio.workspace_sid}",
                account=(twilio.account_sid, twilio.auth_token),
            ),
            simulator=twilio,
        )
        center.update_workflow(AssignmentCallbackUrl=f"{url}/assignment_callback")
        return center

    def update_workflow(self, **form):
        workflow = f"/Workflows/{self.simulator.workflow_sid}"
        assert self.taskrouter.post(workflow, form).status == 200

    def set_idle(self, worker):
        form = {"ActivitySid": self.simulator.activities["Idle"]}
        path = f"/Workers/{self.simulator.workers[worker]}"
        assert self.taskrouter.post(path, form).status == 200

    def create_reservation(self, worker, language):
        """Create a Task in TaskRouter, set a Worker to Idle, and return the Reservation."""
        form = {
            "WorkflowSid": self.simulator.workflow_sid,
            "Attributes": json.dumps({"selected_language": language}),
        }
        created = self.taskrouter.post("/Tasks", form)
        assert created.status == 201, created
        self.set_idle(worker)
        path = f"/Tasks/{created.body['sid']}/Reservations"
        (reservation,) = eventually(lambda: self.taskrouter.get(path).body["reservations"])
        assert reservation["worker_sid"] == self.simulator.workers[worker]
        return reservation

    def cancel(self, task_sid):
        form = {"AssignmentStatus": "canceled"}
        assert self.taskrouter.post(f"/Tasks/{task_sid}", form).status == 200

    def reserve(self):
        """Create a Task with the app, set Alice to Idle, and return the Reservation's record."""
        attributes = json.dumps({"selected_language": "es"})
        created = self.app.post("/create-task", {"attributes": attributes})
        assert created.status == 201, created
        self.set_idle("Alice")

        def find_record():
            for record in self.app.list_reservations("pending"):
                if record["task_sid"] == created.body["sid"]:
                    return record
            return None

        record = eventually(find_record)
        assert record, self.simulator.log("assignment")
        return record

    def task_status(self, task_sid):
        return self.taskrouter.get(f"/Tasks/{task_sid}").body["assignment_status"]

    def complete_life_cycle(self):
        """Create, reserve, accept and complete a Task."""
        record = self.reserve()
        assert record["status"] == "pending"
        self.accept_and_complete(record)

    def accept_and_complete(self, record):
        """Accept a pending Reservation for Alice and complete its Task."""
        accepted = self.app.post(f"/reservations/{record['reservation_sid']}/accept")
        assert (accepted.status, accepted.body["reservation_status"]) == (200, "accepted")
        assert accepted.body["worker_name"] == "Alice"
        assert self.task_status(record["task_sid"]) == "assigned"
        form = {"AssignmentStatus": "completed"}
        assert self.taskrouter.post(f"/Tasks/{record['task_sid']}", form).status == 200
