"""Simulates a contact center: Tasks, decisions and the Activities of Workers."""

import asyncio
import itertools
import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.runner.http_client import HttpClient
from tests.chaos.runner.http_client import Response as HttpResponse
from tests.chaos.runner.plan import Completion, Connection, Decision, Plan, ReservationPlan
from tests.chaos.runner.proxy import Proxy, Request, Response, subject_of
from tests.chaos.runner.stack import ProcessFaultInjector

_OK = 200
_ACCEPTED = 202
_BAD_REQUEST = 400
_PHONE_CALL_INTERVAL = 2
"""The app answers the callbacks for every second Task with an instruction that calls a phone."""
_CALL = {
    "instruction": "call",
    "to": "client:agent",
    "from": "+15556667777",
    "url": "https://example.test/accepted-by-phone",
}
_CONFERENCE = {"instruction": "conference", "to": "client:agent", "from": "+15556667777"}
"""Unlike `_CALL`, this instruction accepts the Reservation."""
_POLL_SECONDS = 0.05
_INSTRUCTION_SECONDS = 3.0
"""Maximum time during which an instruction is retried."""
_CLIENT_ERRORS = range(400, 500)


@dataclass(frozen=True)
class CallbackResponse:
    """The body of a 200 response to a callback for a Reservation."""

    reservation_sid: str
    subject: str
    body: str


@dataclass
class Observations:
    """Observations made by the clients of the app and of TaskRouter during the run.

    Attributes:
        reservations: Reservation SIDs in the order of their first callbacks.
        callback_responses: The app's 200 responses to assignment and fallback callbacks.
        confirmed_decisions: Reservation SID and verb ("accept", "reject", "complete") of every
            decision to which the app responded with 200.
        sent_instructions: SIDs of Reservations for which the app confirmed that an instruction was
            sent.
        errors: Descriptions of unacceptable responses and of errors in the runner.
    """

    reservations: list[str] = field(default_factory=list)
    callback_responses: list[CallbackResponse] = field(default_factory=list)
    confirmed_decisions: list[tuple[str, str]] = field(default_factory=list)
    sent_instructions: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Clients:
    """The HTTP clients of the contact center.

    Attributes:
        supervisor: Client of the app with a supervisor's token.
        workers: Clients of the app with Workers' tokens, by Worker SID.
        taskrouter: Client for the TaskRouter Workspace; bypasses the proxies.
        idle_activity_sid: SID of the Activity in which Workers are available.
    """

    supervisor: HttpClient
    workers: Mapping[str, HttpClient]
    taskrouter: HttpClient
    idle_activity_sid: str


class ContactCenter:
    """Reacts to TaskRouter's callbacks, as reported by the proxy for callbacks.

    Args:
        plan: The plan of the run.
    """

    def __init__(self, plan: Plan) -> None:
        self.observations = Observations()
        self._plan = plan
        self._jobs: set[asyncio.Task[None]] = set()
        self._reservation_plans: dict[str, ReservationPlan] = {}
        self._waiting_tasks = 0
        self._tasks_being_created = 0
        self._task_numbers = itertools.count(1)
        self._clients: Clients
        self._proxies: Mapping[Connection, Proxy]
        self._process_faults: ProcessFaultInjector

    def open(
        self,
        clients: Clients,
        proxies: Mapping[Connection, Proxy],
        process_faults: ProcessFaultInjector,
    ) -> None:
        """Set the collaborators. Must be called before the first callback arrives."""
        self._clients, self._proxies = clients, proxies
        self._process_faults = process_faults

    # Reports from the proxy

    def on_callback(self, request: Request) -> None:
        """React to a callback, whether or not it reaches the app."""
        form, subject = request.form, subject_of(request)
        sid = form.get("ReservationSid", "")
        if sid and sid not in self._reservation_plans:
            self._handle_new_reservation(sid, form["TaskSid"], form["WorkerSid"])
        match subject:
            case "event task.created":
                self._waiting_tasks += 1
            case "event task.canceled":
                self._waiting_tasks -= 1
            case "event reservation.accepted":
                self._waiting_tasks -= 1
                self._run(self._complete(sid, form["TaskSid"], self._reservation_plans[sid]))
            case "event reservation.timeout" | "event reservation.completed":
                self._run(self._set_idle(form["WorkerSid"]))

    def on_callback_response(self, request: Request, response: Response) -> None:
        """Record the app's response to a callback."""
        subject, sid = subject_of(request), request.form.get("ReservationSid", "")
        if subject in {"assignment", "fallback"} and response.status == _OK:
            self.observations.callback_responses.append(
                CallbackResponse(sid, subject, response.body.decode())
            )
        if response.status in _CLIENT_ERRORS or response.status in {500, 502}:
            self.observations.errors.append(
                f"{response.status} for the {subject} callback for {sid}: {response.body!r}"
            )

    # Tasks

    async def keep_tasks_waiting(self, count: int) -> None:
        """Keep `count` Tasks waiting to be accepted until this coroutine is canceled."""
        while True:
            for _ in range(count - self._waiting_tasks - self._tasks_being_created):
                self._tasks_being_created += 1
                self._run(self._create_task(next(self._task_numbers)))
            await asyncio.sleep(_POLL_SECONDS)

    async def close(self) -> None:
        """Cancel the pending Tasks and wait until no Task is waiting and no job is running."""
        taskrouter = self._clients.taskrouter
        while self._jobs or self._waiting_tasks > 0:
            path = "/Tasks?AssignmentStatus=pending&PageSize=100"
            response = await taskrouter.request("GET", path)
            for task in response.body["tasks"]:
                await self._cancel_task(task["sid"])
            await asyncio.sleep(_POLL_SECONDS)

    async def _create_task(self, number: int) -> None:
        key = f"chaos-{self._plan.seed}-{number}"
        for fault in self._plan.task_faults(number):
            # The key and the closing quote as they appear in the form sent to TaskRouter.
            self._proxies[Connection.REST].inject(fault, f"{key}%22")
        attributes = {
            "number": number,
            "rings": number % _PHONE_CALL_INTERVAL == 0,
            "outbound_to": "+15558889999",  # a conference calls this number
        }
        form = {"attributes": json.dumps(attributes)}
        try:
            response = await self._clients.supervisor.request_with_retries(
                "POST", "/create-task", form, {"Idempotency-Key": key}
            )
        finally:
            self._tasks_being_created -= 1
        if response.status not in {201, 503, None}:
            self.observations.errors.append(f"{response} for the creation of Task {number}")

    async def _cancel_task(self, task_sid: str) -> None:
        form = {"AssignmentStatus": "canceled", "Reason": "chaos"}
        await self._clients.taskrouter.request("POST", f"/Tasks/{task_sid}", form)

    # Reservations and Workers

    def _handle_new_reservation(self, sid: str, task_sid: str, worker_sid: str) -> None:
        plan = self._plan.reservation(len(self.observations.reservations))
        self._reservation_plans[sid] = plan
        self.observations.reservations.append(sid)
        for fault in plan.request_faults:
            self._proxies[fault.connection].inject(fault, sid)
        if plan.process_fault:
            self._run(self._process_faults.inject(plan.process_fault))
        self._run(self._execute_decision(sid, task_sid, worker_sid, plan))

    async def _execute_decision(
        self, sid: str, task_sid: str, worker_sid: str, plan: ReservationPlan
    ) -> None:
        await asyncio.sleep(plan.decision_delay)
        worker, supervisor = self._clients.workers[worker_sid], self._clients.supervisor
        match plan.decision:
            case Decision.ACCEPT:
                await self._decide(worker, sid, "accept")
            case Decision.ACCEPT_TWICE:
                await asyncio.gather(
                    self._decide(worker, sid, "accept"),
                    self._decide(supervisor, sid, "accept", task_sid),
                )
            case Decision.ACCEPT_AND_REJECT:
                await asyncio.gather(
                    self._decide(worker, sid, "accept"),
                    self._decide(supervisor, sid, "reject", task_sid),
                )
            case Decision.REJECT:
                await self._decide(worker, sid, "reject")
            case Decision.ACCEPT_BY_PHONE:
                await self._send_instruction(sid, task_sid, _CALL)
                await self._decide(worker, sid, "accept")
            case Decision.ACCEPT_BY_PHONE_AND_IN_TASKROUTER:
                await asyncio.gather(
                    self._send_instruction(sid, task_sid, _CONFERENCE),
                    # This accept may arrive before, during or after the instruction.
                    self._accept_at_taskrouter(sid, task_sid, delay=plan.completion_delay / 4),
                )
                await self._send_instruction(sid, task_sid, _CONFERENCE)
            case Decision.ACCEPT_IN_TASKROUTER:
                await self._accept_at_taskrouter(sid, task_sid)
            case Decision.CANCEL:
                await self._cancel_task(task_sid)
            case Decision.IGNORE:
                pass

    async def _decide(
        self, client: HttpClient, sid: str, verb: str, task_sid: str | None = None
    ) -> bool:
        """Send a decision and return whether the app confirmed the decision."""
        form = {"task_sid": task_sid} if task_sid else None
        response = await client.request_with_retries("POST", f"/reservations/{sid}/{verb}", form)
        if response.status == _OK:
            self.observations.confirmed_decisions.append((sid, verb))
        if response.status not in {200, 409, 503, None}:
            self.observations.errors.append(f"{response} for the {verb} request for {sid}")
        return response.status == _OK

    async def _accept_at_taskrouter(self, sid: str, task_sid: str, *, delay: float = 0.0) -> None:
        await asyncio.sleep(delay)
        path = f"/Tasks/{task_sid}/Reservations/{sid}"
        form = {"ReservationStatus": "accepted"}
        await self._clients.taskrouter.request("POST", path, form)

    async def _send_instruction(
        self, sid: str, task_sid: str, instruction: Mapping[str, str]
    ) -> None:
        form = {**instruction, "task_sid": task_sid}
        response = await self._clients.supervisor.request_with_retries(
            "POST", f"/reservations/{sid}/accept", form, seconds=_INSTRUCTION_SECONDS
        )
        if response.status in {_OK, _ACCEPTED}:
            self.observations.sent_instructions.append(sid)
        elif response.status not in {409, 503, None} and not _is_refused_by_taskrouter(response):
            self.observations.errors.append(f"{response} for the instruction for {sid}")

    async def _complete(self, sid: str, task_sid: str, plan: ReservationPlan) -> None:
        await asyncio.sleep(plan.completion_delay)
        path = f"/Tasks/{task_sid}"
        taskrouter, supervisor = self._clients.taskrouter, self._clients.supervisor
        if plan.completion is Completion.WRAP_AND_COMPLETE:
            await taskrouter.request("POST", path, {"AssignmentStatus": "wrapping"})
            await asyncio.sleep(plan.completion_delay)
        through_app = plan.completion is not Completion.COMPLETE_IN_TASKROUTER
        if not (through_app and await self._decide(supervisor, sid, "complete", task_sid)):
            await taskrouter.request("POST", path, {"AssignmentStatus": "completed"})

    async def _set_idle(self, worker_sid: str) -> None:
        form = {"ActivitySid": self._clients.idle_activity_sid}
        path = f"/Workers/{worker_sid}"
        await self._clients.taskrouter.request_with_retries("POST", path, form)

    def _run(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._on_job_done)

    def _on_job_done(self, task: "asyncio.Task[None]") -> None:
        self._jobs.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.observations.errors.append(f"error in the test runner: {error!r}")


def _is_refused_by_taskrouter(response: HttpResponse) -> bool:
    """Return whether the response reports that TaskRouter refused an instruction.

    After a refusal, the app fetches the Reservation. The app sends this response only if the fetch
    fails. Otherwise, the app finds that the Reservation is no longer pending and responds with 409.
    """
    return response.status == _BAD_REQUEST and response.body["Code"] == "TaskRouterRefused"
