"""The stages of the demo."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.demo.http_client import HttpClient
from local.demo.output import Presenter

CALLBACK_PARAMETERS = {
    "AccountSid",
    "ReservationSid",
    "TaskAge",
    "TaskAttributes",
    "TaskPriority",
    "TaskQueueSid",
    "TaskSid",
    "WorkerAttributes",
    "WorkerSid",
    "WorkflowSid",
    "WorkspaceSid",
}
"""The documented parameters of a callback, except Timestamp, which an observed callback lacked."""

CALLBACK_SECONDS = 5
"""TaskRouter's time limit for a callback, and the longest wait for its effects."""

RESERVATION_SECONDS = 3
"""The app's Reservation timeout, and the Workflow's in the stage that waits for a timeout."""

SWEEP_SECONDS = 15
"""Maximum wait for the sweep: timeout, grace period, interval and a margin."""

CALLER, CALLED_NUMBER, ALICES_PHONE = "+15550001111", "+15556667777", "+15555555555"
"""The caller, the number called and Alice's phone: fictitious numbers."""

TOKEN_CHARACTERS_SHOWN = 18
"""Number of characters of the Authorization header to print, too few to reveal the token."""

TASK_FIELDS = "sid assignment_status attributes"


@dataclass(frozen=True)
class Script:
    """Runs all stages.

    Attributes:
        presenter: Sends and prints the requests.
        app: Client of the deferring API, with a supervisor's token.
        taskrouter: Client of TaskRouter's REST API; paths are relative to the Workspace.
        simulator: Client of the simulator's control routes, which place phone calls.
        app_url: Base URL of the deferring API, which answers callbacks without an instruction.
        instructing_url: Base URL of the API that answers callbacks with the `dequeue` instruction
            for phone calls, and with the `accept` instruction for other Tasks.
        identifiers: The response to GET /simulator.
    """

    presenter: Presenter
    app: HttpClient
    taskrouter: HttpClient
    simulator: HttpClient
    app_url: str
    instructing_url: str
    identifiers: Mapping[str, Any]

    def run(self) -> None:
        """Run all stages.

        Raises:
            StageFailedError: A stage had an unexpected result.
        """
        token = str(self.app.headers["Authorization"])[:TOKEN_CHARACTERS_SHOWN]
        self.presenter.explain(f"Requests to the app carry a supervisor's token: {token}…")
        self.presenter.explain(
            "Requests to TaskRouter carry the simulator's account SID and auth token."
        )
        self._show_deferral()
        self._show_instruction()
        self._show_rejection()
        self._show_timeout()
        self._show_phone_call()

    def _show_deferral(self) -> None:
        self.presenter.start_stage("1. Deferred: record the Reservation, then accept it over REST")
        self.presenter.explain("Create a Task. Alice, who speaks Spanish, is Offline.")
        task = self._create_task()
        self.presenter.expect("the Task's assignment_status", "pending", task["assignment_status"])

        self.presenter.explain(
            "Set Alice to Idle. TaskRouter reserves her and posts a callback. The app records the "
            "Reservation."
        )
        self._set_alice("Idle")
        reservation = self._pending_reservation(task["sid"])
        self.presenter.explain("The callback that GET /reservations returns for the Reservation:")
        self.presenter.print_fields(reservation["callback"])
        missing = sorted(CALLBACK_PARAMETERS - reservation["callback"].keys())
        self.presenter.expect("the list of missing callback parameters", [], missing)

        self.presenter.explain("Accept the Reservation.")
        path = f"/reservations/{reservation['reservation_sid']}/accept"
        accepted = self.presenter.post(self.app, path, show="all")
        self.presenter.expect("worker_name", "Alice", accepted["worker_name"])
        self.presenter.expect("reservation_status", "accepted", accepted["reservation_status"])
        self._expect_task(task["sid"], "assigned")
        self._expect_alice("Busy")
        self._complete(task["sid"])

    def _show_instruction(self) -> None:
        self.presenter.start_stage("2. Instructed: the callback's response accepts the Reservation")
        self.presenter.explain(
            "Point the Workflow at an API with ASSIGNMENT_INSTRUCTION=accept, and set Alice to "
            "Idle."
        )
        self._set_callback_url(self.instructing_url)
        self._set_alice("Idle")
        task = self._create_task()
        self.presenter.explain("No further request is needed.")
        self._await_task(task["sid"], "assigned")
        self._expect_task(task["sid"], "assigned")
        self._expect_alice("Busy")
        self._set_callback_url(self.app_url)
        self._complete(task["sid"])

    def _show_rejection(self) -> None:
        self.presenter.start_stage(
            "3. Rejected: the Task is pending again, and the Worker is Offline"
        )
        self._set_alice("Idle")
        task = self._create_task()
        reservation = self._pending_reservation(task["sid"])
        path = f"/reservations/{reservation['reservation_sid']}/reject"
        offline = {"activity_sid": self.identifiers["activities"]["Offline"]}
        rejected = self.presenter.post(self.app, path, offline, show="all")
        self.presenter.expect("reservation_status", "rejected", rejected["reservation_status"])
        self._expect_task(task["sid"], "pending")
        self._expect_alice("Offline")
        self._cancel(task["sid"])

    def _show_timeout(self) -> None:
        self.presenter.start_stage(
            "4. Timed out: nobody responds, and the sweep records the timeout"
        )
        self.presenter.explain(
            f"Set the Workflow's Reservation timeout to {RESERVATION_SECONDS} seconds."
        )
        timeout = {"TaskReservationTimeout": str(RESERVATION_SECONDS)}
        self.presenter.post(
            self.taskrouter, self._workflow, timeout, show="task_reservation_timeout"
        )
        task = self._create_task()
        self._set_alice("Idle")
        reservation = self._pending_reservation(task["sid"])
        self.presenter.explain(
            "Wait for the timeout, without accepting or rejecting the Reservation."
        )
        path = f"/reservations/{reservation['reservation_sid']}"
        self.presenter.wait(
            'the status "timeout" in the app\'s record',
            lambda: self.app.get(path).body.get("status") == "timeout" or None,
            SWEEP_SECONDS,
        )
        fields = "reservation_sid status expires_at history"
        record = self.presenter.get(self.app, path, show=fields)
        self.presenter.expect("the record's status", "timeout", record["status"])
        self._expect_alice("Offline")
        self._expect_task(task["sid"], "pending")
        self._cancel(task["sid"])

    def _show_phone_call(self) -> None:
        self.presenter.start_stage(
            "5. Called: a phone call becomes a Task and is connected to a Worker"
        )
        self.presenter.explain(
            "Give Alice a phone, as in part 3 of Twilio's quickstart, and set her to Idle."
        )
        attributes = {"languages": ["en", "es"], "contact_uri": ALICES_PHONE}
        form = {"Attributes": json.dumps(attributes)}
        self.presenter.post(self.taskrouter, self._alice, form, show="friendly_name attributes")
        self._set_callback_url(self.instructing_url)
        self._set_alice("Idle")

        self.presenter.explain("Place a call, and press 1 for Spanish.")
        form = {"from": CALLER, "to": CALLED_NUMBER, "digits": "1"}
        call = self.presenter.post(self.simulator, "/calls", form, show="sid status task_sid")
        self._await_task(call["task_sid"], "assigned")
        path = f"/calls/{call['sid']}"
        call = self.presenter.get(self.simulator, path, show="connected_with")
        self.presenter.explain(
            "A rule answered the callback with the dequeue instruction. The steps of the call:"
        )
        for step in call["steps"]:
            details = {name: value for name, value in step.items() if name not in {"at", "step"}}
            self.presenter.print_fields({step["step"]: details})
        self.presenter.expect("the call's status", "in-progress", call["status"])
        self._expect_alice("Busy")

        self.presenter.explain("End the call. This completes the Task.")
        self.presenter.post(self.simulator, path, {"status": "completed"}, show="status")
        self._expect_task(call["task_sid"], "completed")

    def _create_task(self) -> Any:
        form = {"attributes": json.dumps({"selected_language": "es"})}
        return self.presenter.post(self.app, "/create-task", form, show=TASK_FIELDS)

    def _set_alice(self, activity: str) -> None:
        form = {"ActivitySid": self.identifiers["activities"][activity]}
        show = "friendly_name activity_name"
        self.presenter.post(self.taskrouter, self._alice, form, show=show)

    def _set_callback_url(self, url: str) -> None:
        form = {"AssignmentCallbackUrl": f"{url}/assignment_callback"}
        show = "friendly_name assignment_callback_url"
        self.presenter.post(self.taskrouter, self._workflow, form, show=show)

    def _complete(self, task_sid: str) -> None:
        self.presenter.explain("Complete the Task.")
        self._set_task(task_sid, "completed")

    def _cancel(self, task_sid: str) -> None:
        self._set_task(task_sid, "canceled")

    def _set_task(self, task_sid: str, status: str) -> None:
        form = {"AssignmentStatus": status}
        self.presenter.post(self.taskrouter, f"/Tasks/{task_sid}", form, show="assignment_status")

    def _pending_reservation(self, task_sid: str) -> Any:
        def find() -> Any:
            reservations = self.app.list_reservations("pending")
            return next((r for r in reservations if r["task_sid"] == task_sid), None)

        reservation = self.presenter.wait(
            "the callback's Reservation in the list of Reservations",
            find,
            CALLBACK_SECONDS,
        )
        path = f"/reservations/{reservation['reservation_sid']}"
        record = self.presenter.get(self.app, path, show="status reserved_at expires_at")
        self.presenter.expect("the record's status", "pending", record["status"])
        return reservation

    def _await_task(self, task_sid: str, status: str) -> None:
        def find() -> bool | None:
            task = self.taskrouter.get(f"/Tasks/{task_sid}").body
            return task["assignment_status"] == status or None

        self.presenter.wait(f"the Task to be {status}", find, CALLBACK_SECONDS)

    def _expect_task(self, task_sid: str, status: str) -> None:
        path = f"/Tasks/{task_sid}"
        task = self.presenter.get(self.taskrouter, path, show="assignment_status")
        self.presenter.expect("the Task's assignment_status", status, task["assignment_status"])

    def _expect_alice(self, activity: str) -> None:
        show = "friendly_name activity_name"
        alice = self.presenter.get(self.taskrouter, self._alice, show=show)
        self.presenter.expect("Alice's Activity", activity, alice["activity_name"])

    @property
    def _alice(self) -> str:
        return f"/Workers/{self.identifiers['workers']['Alice']}"

    @property
    def _workflow(self) -> str:
        return f"/Workflows/{self.identifiers['workflow_sid']}"
