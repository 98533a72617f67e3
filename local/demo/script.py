"""The life cycle that the demo walks, stage by stage."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.demo.http_client import Caller
from local.demo.output import Narrator

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
"""The documented ones but Timestamp, which a captured callback does not have."""

CALLBACK_SECONDS = 5
"""TaskRouter's own limit for a callback: what it causes is seen within it, or not at all."""

RESERVATION_SECONDS = 3
"""How long a Reservation lives in the stage that lets one time out."""

SWEPT_SECONDS = 15
"""Time-out, grace, a sweep every second, and patience with a busy machine."""

CALLER, NUMBER, ALICES_PHONE = "+15550001111", "+15556667777", "+15555555555"
"""Who calls, whom, and where Alice is called: numbers that nobody has."""

BEARER_SHOWN = 18
"""Enough to recognise one, too little to use it."""

TASK_FIELDS = "sid assignment_status attributes"


@dataclass(frozen=True)
class Story:
    """Who takes part.

    Attributes:
        tell: Makes and prints the calls.
        app: Our API, which defers its answers; the bearer is a supervisor.
        taskrouter: TaskRouter's REST API, relative to the Workspace.
        simulator: The simulator's control routes, where calls are placed.
        app_url: Where TaskRouter calls the deferring API back.
        instructing_url: Where it calls one back that answers with instructions: dequeue for phone
            calls, accept for all else.
        names: What GET /simulator says.
    """

    tell: Narrator
    app: Caller
    taskrouter: Caller
    simulator: Caller
    app_url: str
    instructing_url: str
    names: Mapping[str, Any]

    def walk(self) -> None:
        """Walk all stages.

        Raises:
            StageFailedError: One went otherwise.
        """
        bearer = str(self.app.headers["Authorization"])
        self.tell.say(f"Calls to the app carry a supervisor's token: {bearer[:BEARER_SHOWN]}…")
        self.tell.say("Calls to TaskRouter carry the simulator's account SID and auth token.")
        self._deferred()
        self._instructed()
        self._rejected()
        self._timed_out()
        self._called()

    def _deferred(self) -> None:
        self.tell.stage("1. Deferred: recorded, looked at, accepted over REST")
        self.tell.say("A Task is created. Alice, who speaks Spanish, is Offline.")
        task = self._create_task()
        self.tell.expect("the Task's assignment_status", "pending", task["assignment_status"])

        self.tell.say("Alice turns Idle: TaskRouter reserves her and calls back; we record it.")
        self._turn("Idle")
        reservation = self._pending_reservation(task["sid"])
        self.tell.say("The Reservation's callback, as GET /reservations gives it:")
        self.tell.fields(reservation["callback"])
        missing = sorted(CALLBACK_PARAMETERS - reservation["callback"].keys())
        self.tell.expect("the list of missing callback parameters", [], missing)

        self.tell.say("It is accepted.")
        query = f"task_sid={task['sid']}&reservation_sid={reservation['reservation_sid']}"
        accepted = self.tell.get(self.app, f"/accept_reservation?{query}", show="all")
        self.tell.expect("worker_name", "Alice", accepted["worker_name"])
        self.tell.expect("reservation_status", "accepted", accepted["reservation_status"])
        self._expect_task(task["sid"], "assigned")
        self._expect_alice("Busy")
        self._free_alice(task["sid"])

    def _instructed(self) -> None:
        self.tell.stage("2. Instructed: the callback itself is answered with accept")
        self.tell.say("The Workflow calls an app with ASSIGNMENT_INSTRUCTION=accept; Alice: Idle.")
        self._call_back(self.instructing_url)
        self._turn("Idle")
        task = self._create_task()
        self.tell.say("Nobody does anything more.")
        self._await_task(task["sid"], "assigned")
        self._expect_task(task["sid"], "assigned")
        self._expect_alice("Busy")
        self._call_back(self.app_url)
        self._free_alice(task["sid"])

    def _rejected(self) -> None:
        self.tell.stage("3. Rejected: the Task waits, the Worker goes Offline")
        self._turn("Idle")
        task = self._create_task()
        reservation = self._pending_reservation(task["sid"])
        path = f"/reservations/{reservation['reservation_sid']}/reject"
        offline = {"activity_sid": self.names["activities"]["Offline"]}
        rejected = self.tell.post(self.app, path, offline, show="all")
        self.tell.expect("reservation_status", "rejected", rejected["reservation_status"])
        self._expect_task(task["sid"], "pending")
        self._expect_alice("Offline")
        self._cancel(task["sid"])

    def _timed_out(self) -> None:
        self.tell.stage("4. Timed out: nobody decides, the sweep finds out")
        self.tell.say(f"The Workflow's Reservations live {RESERVATION_SECONDS} seconds from now.")
        seconds = {"TaskReservationTimeout": str(RESERVATION_SECONDS)}
        self.tell.post(self.taskrouter, self._workflow, seconds, show="task_reservation_timeout")
        task = self._create_task()
        self._turn("Idle")
        reservation = self._pending_reservation(task["sid"])
        self.tell.say("Nobody decides.")
        path = f"/reservations/{reservation['reservation_sid']}"
        self.tell.wait(
            "our record to say timeout",
            lambda: self.app.get(path).body.get("status") == "timeout" or None,
            SWEPT_SECONDS,
        )
        record = self.tell.get(self.app, path, show="reservation_sid status expires_at history")
        self.tell.expect("our record's status", "timeout", record["status"])
        self._expect_alice("Offline")
        self._expect_task(task["sid"], "pending")
        self._cancel(task["sid"])

    def _called(self) -> None:
        self.tell.stage("5. Called: a phone call becomes a Task, and a rule connects it to Alice")
        self.tell.say("Alice gets a phone, as in the tutorial's part 3, and turns Idle.")
        attributes = {"languages": ["en", "es"], "contact_uri": ALICES_PHONE}
        form = {"Attributes": json.dumps(attributes)}
        self.tell.post(self.taskrouter, self._alice, form, show="friendly_name attributes")
        self._call_back(self.instructing_url)
        self._turn("Idle")

        self.tell.say("Somebody calls, and presses 1 for Spanish.")
        form = {"from": CALLER, "to": NUMBER, "digits": "1"}
        call = self.tell.post(self.simulator, "/calls", form, show="sid status task_sid")
        self._await_task(call["task_sid"], "assigned")
        call = self.tell.get(self.simulator, f"/calls/{call['sid']}", show="connected_with")
        self.tell.say("What happened in the call: a rule answered the callback with dequeue.")
        for step in call["steps"]:
            what = {name: value for name, value in step.items() if name not in {"at", "step"}}
            self.tell.fields({step["step"]: what})
        self.tell.expect("the call's status", "in-progress", call["status"])
        self._expect_alice("Busy")

        self.tell.say("The caller hangs up, and the work is done.")
        end = {"status": "completed"}
        self.tell.post(self.simulator, f"/calls/{call['sid']}", end, show="status")
        self._expect_task(call["task_sid"], "completed")

    def _create_task(self) -> Any:
        return self.tell.post(self.app, "/create-task", show=TASK_FIELDS)

    def _turn(self, activity: str) -> None:
        form = {"ActivitySid": self.names["activities"][activity]}
        self.tell.post(self.taskrouter, self._alice, form, show="friendly_name activity_name")

    def _call_back(self, url: str) -> None:
        form = {"AssignmentCallbackUrl": f"{url}/assignment_callback"}
        show = "friendly_name assignment_callback_url"
        self.tell.post(self.taskrouter, self._workflow, form, show=show)

    def _free_alice(self, task_sid: str) -> None:
        self.tell.say("The work is done.")
        form = {"AssignmentStatus": "completed"}
        self.tell.post(self.taskrouter, f"/Tasks/{task_sid}", form, show="assignment_status")

    def _cancel(self, task_sid: str) -> None:
        form = {"AssignmentStatus": "canceled"}
        self.tell.post(self.taskrouter, f"/Tasks/{task_sid}", form, show="assignment_status")

    def _pending_reservation(self, task_sid: str) -> Any:
        def look() -> Any:
            listed = self.app.get("/reservations", {"status": "pending"}).body
            found = [r for r in listed.get("reservations", []) if r["task_sid"] == task_sid]
            return found[0] if found else None

        found = self.tell.wait("the callback's Reservation in our list", look, CALLBACK_SECONDS)
        path = f"/reservations/{found['reservation_sid']}"
        record = self.tell.get(self.app, path, show="status reserved_at expires_at")
        self.tell.expect("the record's status", "pending", record["status"])
        return found

    def _await_task(self, task_sid: str, status: str) -> None:
        def look() -> bool | None:
            task = self.taskrouter.get(f"/Tasks/{task_sid}").body
            return task["assignment_status"] == status or None

        self.tell.wait(f"the Task to be {status}", look, CALLBACK_SECONDS)

    def _expect_task(self, task_sid: str, status: str) -> None:
        task = self.tell.get(self.taskrouter, f"/Tasks/{task_sid}", show="assignment_status")
        self.tell.expect("the Task's assignment_status", status, task["assignment_status"])

    def _expect_alice(self, activity: str) -> None:
        alice = self.tell.get(self.taskrouter, self._alice, show="friendly_name activity_name")
        self.tell.expect("Alice's Activity", activity, alice["activity_name"])

    @property
    def _alice(self) -> str:
        return f"/Workers/{self.names['workers']['Alice']}"

    @property
    def _workflow(self) -> str:
        return f"/Workflows/{self.names['workflow_sid']}"
