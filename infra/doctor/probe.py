"""Runs the probe, which takes a Task through its whole life cycle with temporary resources."""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from chalicelib.domain.reservations import Reservation, Status
from infra import OperatorError
from infra.commands import REPORTED_ERRORS, describe_error, open_store
from infra.doctor import answers
from infra.doctor.probe_api import CHANNEL, NAME, Api, clean_up, find_activity
from infra.doctor.subject import Subject
from infra.twilio_account import Workspace
from infra.workspace.http import RetryingHttpClient

NEEDS = ("workspace", "reservations_table", "reachable", "signed_request")
"""Names of the checks that must succeed before the probe starts."""

_TASK_SECONDS = 300
"""Lifetime of the Task if the probe can't end the Task."""

_WAIT_SECONDS = 30
_POLL_SECONDS = 0.2
_ROUTING_SECONDS = 2
_EVENT_READS = 5

_THROTTLED_SECONDS = 60
"""Time after which throttled requests are no longer repeated, in each phase of the probe."""


@dataclass(frozen=True)
class Timer:
    """A clock, and a function that waits.

    Attributes:
        now: Returns the seconds since an arbitrary point in time.
        sleep: Waits for a number of seconds.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def wait_for(self, read: Callable[[], Any], problem: str) -> Any:
        """Return the first true result of *read*; raise OperatorError if time runs out."""
        deadline = self.now() + _WAIT_SECONDS
        while not (value := read()):
            if self.now() > deadline:
                raise OperatorError(f"{problem} within {_WAIT_SECONDS} seconds.")
            self.sleep(_POLL_SECONDS)
        return value


@dataclass
class Findings:
    """The results of a probe.

    Attributes:
        milliseconds: Duration of each step of the life cycle.
        settings: Settings that make the simulator behave like this account, by field name.
        errors: Sentences that say why the probe is incomplete, and which resources may remain.
    """

    milliseconds: dict[str, int] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def environment(self) -> str:
        """Return the settings as lines of an env file."""
        lines = (
            f"SIMULATOR_{name.upper()}={str(value).lower()}"
            for name, value in self.settings.items()
        )
        return "".join(f"{line}\n" for line in sorted(lines))


def run(subject: Subject, timer: Timer | None = None) -> Findings:
    """Probe a live stage, and delete everything that the probe created.

    Args:
        subject: The stage.
        timer: The clock; None for the clock of this machine.

    Returns:
        The findings, which are incomplete if the probe failed or was interrupted.
    """
    timer = timer or Timer()
    http_client = RetryingHttpClient(timer.now, timer.sleep)
    account = subject.open_account(*subject.secrets.api_key, http_client=http_client)
    workspace = Workspace(account, subject.workspace.sid, subject.workspace.workflow_sid)
    api = Api(account, workspace)

    def limit_waiting() -> None:
        http_client.deadline = timer.now() + _THROTTLED_SECONDS

    limit_waiting()
    findings = Findings(errors=clean_up(api))
    if findings.errors:
        return findings
    limit_waiting()
    try:
        _Probe(subject, api, timer, http_client, findings).run()
    except REPORTED_ERRORS as error:
        findings.errors.append(describe_error(error, subject.stage.name))
    except KeyboardInterrupt:
        # The clean-up still runs, and the findings report its failures.
        findings.errors.append("The probe was interrupted.")
        click.echo("Deleting the resources that the probe created.", err=True)
    finally:
        limit_waiting()
        findings.errors += clean_up(api)
    return findings


class _Probe:
    def __init__(
        self,
        subject: Subject,
        api: Api,
        timer: Timer,
        http_client: RetryingHttpClient,
        findings: Findings,
    ) -> None:
        self._subject = subject
        self._api = api
        self._timer = timer
        self._http_client = http_client
        self._store = open_store(subject.stage.settings)
        self._findings = findings
        self._token = uuid.uuid4().hex

    def run(self) -> None:
        channel = self._api.require("POST", "/TaskChannels", FriendlyName=NAME, UniqueName=CHANNEL)
        queue = self._create_queue()
        workflow = self._create_workflow(queue)
        worker = self._create_worker(channel["sid"])
        self._ensure_no_real_tasks(worker, queue)
        self._record(answers.from_workflow(self._api, workflow["sid"]))
        self._record(answers.from_worker(self._api, worker["sid"], self._token, self._timer.sleep))
        available = find_activity(self._api, is_available=True)
        self._api.require("POST", f"/Workers/{worker['sid']}", ActivitySid=available)
        # Changing the Worker also triggers routing, which must not shorten the measured delay.
        self._timer.sleep(_ROUTING_SECONDS)
        task = self._measure("task created", lambda: self._create_task(workflow["sid"]))
        self._run_life_cycle(task["sid"], worker["sid"], channel["sid"])
        self._record(self._read_events(task["sid"]))

    def _read_events(self, task_sid: str) -> dict[str, Any]:
        """Return the settings that the Task's Events reveal.

        TaskRouter may list the Events only after a delay, so the list is read repeatedly.
        """
        for _ in range(_EVENT_READS):
            if settings := answers.from_events(self._api, task_sid):
                return settings
            self._timer.sleep(1)
        return {}

    def _record(self, settings: dict[str, Any]) -> None:
        self._findings.settings |= settings

    def _measure(self, step: str, run_step: Callable[[], Any]) -> Any:
        """Run a step, and record its duration, excluding waits caused by throttling."""
        started, waited = self._timer.now(), self._http_client.waited
        result = run_step()
        seconds = self._timer.now() - started - (self._http_client.waited - waited)
        self._findings.milliseconds[step] = round(seconds * 1000)
        return result

    def _create_queue(self) -> dict[str, Any]:
        target = f'{CHANNEL} == "{self._token}"'
        return self._api.require("POST", "/TaskQueues", FriendlyName=NAME, TargetWorkers=target)

    def _create_workflow(self, queue: dict[str, Any]) -> dict[str, Any]:
        """Create a Workflow that posts its callbacks to the stage."""
        url = f"{self._subject.base_url}{self._subject.callback_prefix}/assignment_callback"
        routing = {"filters": [], "default_filter": {"queue": queue["sid"]}}
        return self._api.require(
            "POST",
            "/Workflows",
            FriendlyName=NAME,
            Configuration=json.dumps({"task_routing": routing}),
            AssignmentCallbackUrl=url,
            FallbackAssignmentCallbackUrl=f"{url}/fallback",
            # The stage assumes this timeout for Workflows not in RESERVATION_TIMEOUTS_BY_WORKFLOW.
            TaskReservationTimeout=self._subject.stage.settings.reservation_timeout_seconds,
        )

    def _create_worker(self, channel_sid: str) -> dict[str, Any]:
        """Create an unavailable Worker whose capacity is 0, except in the probe's TaskChannel.

        The default capacity, which the Worker has in that TaskChannel, is recorded.
        """
        attributes = {CHANNEL: self._token, **answers.WORKER_ATTRIBUTES}
        worker = self._api.require(
            "POST",
            "/Workers",
            FriendlyName=NAME,
            Attributes=json.dumps(attributes),
            ActivitySid=find_activity(self._api, is_available=False),
        )
        path = f"Workers/{worker['sid']}/Channels"
        for channel in self._api.list_resources(path):
            if channel["task_channel_sid"] == channel_sid:
                self._record({"default_capacity": channel["configured_capacity"]})
            else:
                self._api.require(
                    "POST", f"/{path}/{channel['sid']}", Capacity=0, Available="false"
                )
        return worker

    def _ensure_no_real_tasks(self, worker: dict[str, Any], queue: dict[str, Any]) -> None:
        """Refuse to continue if the Worker could be offered a Task from a different TaskQueue.

        In a multitasking Workspace, the capacities of the Worker's channels prevent this.
        """
        if self._subject.remote_workspace.multi_task_enabled:
            return
        queues = self._api.list_resources("TaskQueues", WorkerSid=worker["sid"])
        others = [each["friendly_name"] for each in queues if each["sid"] != queue["sid"]]
        if others:
            raise OperatorError(
                "The probe's Worker could be offered real Tasks, because the Workspace is "
                "single-tasking, and these TaskQueues also accept this Worker: "
                f"{', '.join(others)}. Probe a test Workspace instead."
            )

    def _create_task(self, workflow_sid: str) -> dict[str, Any]:
        return self._api.require(
            "POST",
            "/Tasks",
            WorkflowSid=workflow_sid,
            TaskChannel=CHANNEL,
            Timeout=_TASK_SECONDS,
            Attributes=json.dumps({CHANNEL: self._token}),
        )

    def _run_life_cycle(self, task_sid: str, worker_sid: str, channel_sid: str) -> None:
        """Run the Task's life cycle until the Task is completed."""
        task_path, list_path = f"/Tasks/{task_sid}", f"Tasks/{task_sid}/Reservations"
        (listed, *_) = self._measure(
            "reserved",
            lambda: self._timer.wait_for(
                lambda: self._api.list_resources(list_path), "TaskRouter reserved no Worker"
            ),
        )
        reservation_path = f"/{list_path}/{listed['sid']}"
        record = self._measure("callback recorded", lambda: self._wait_for_callback(listed["sid"]))
        self._record(answers.from_record(record))
        if record.answer:
            self._wait_for_acceptance(reservation_path, record.answer)
        else:
            self._record(
                answers.while_pending(self._api, f"/Workers/{worker_sid}/Channels/{channel_sid}")
            )
            self._measure(
                "accepted",
                lambda: self._api.require("POST", reservation_path, ReservationStatus="accepted"),
            )
        self._record(answers.after_acceptance(self._api, reservation_path, task_path))
        self._record(self._measure("completed", lambda: answers.complete(self._api, task_path)))
        self._record(answers.after_completion(self._api, reservation_path))

    def _wait_for_acceptance(self, reservation_path: str, answer: Mapping[str, Any]) -> None:
        """Wait until TaskRouter has executed the instruction in the answer to the callback.

        Raises:
            OperatorError: TaskRouter did not accept the Reservation.
        """
        response = json.dumps(dict(answer))
        problem = f"TaskRouter did not accept the Reservation after the answer {response}"

        def read() -> str | None:
            status = str(self._api.require("GET", reservation_path)["reservation_status"])
            return None if status == Status.PENDING else status

        if (status := self._timer.wait_for(read, problem)) != Status.ACCEPTED:
            raise OperatorError(f"{problem}. The Reservation's status is {status}.")

    def _wait_for_callback(self, reservation_sid: str) -> Reservation:
        def read() -> Reservation | None:
            record = self._store.get(reservation_sid)
            # An event also creates a record, so wait until the record has an answer.
            return record if record and record.answer is not None else None

        record: Reservation = self._timer.wait_for(read, "The stage recorded no callback")
        return record
