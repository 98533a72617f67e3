"""The contact centre's floor: Tasks come in, people decide, Workers come back."""

import asyncio
import itertools
import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.client import Client
from tests.chaos.link import Answer, Call, Proxy, subject
from tests.chaos.plan import Decision, Fate, Finish, Link, Plan
from tests.chaos.troubles import Troubles

_OK = 200
_TICK_SECONDS = 0.05
_REFUSED = range(400, 500)


@dataclass(frozen=True)
class Told:
    """An answer that the app gave to a callback about a Reservation."""

    reservation_sid: str
    about: str
    answer: str


@dataclass
class Heard:
    """What was said while it all went on: what the end is held against.

    Attributes:
        reservations: Reservation SIDs in the order of their making.
        told: what the app answered to assignment callbacks with 200.
        promises: Reservation SID and verb ("accept", "reject", "complete") of every decision
            that the app has answered with 200.
        surprises: answers that nobody should ever get.
    """

    reservations: list[str] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    promises: list[tuple[str, str]] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class People:
    """Who calls.

    Attributes:
        supervisor: of the app.
        worker: of the app, by Worker SID.
        taskrouter: TaskRouter's Workspace, past the proxies.
        idle: the Activity (WA...) in which Workers are available.
    """

    supervisor: Client
    worker: Mapping[str, Client]
    taskrouter: Client
    idle: str


class Floor:
    """Reacts to what TaskRouter tells, as the proxy on its way to the app hears it.

    Args:
        plan: what is to happen.
    """

    def __init__(self, plan: Plan) -> None:
        self.heard = Heard()
        self._plan = plan
        self._tasks: set[asyncio.Task[None]] = set()
        self._fates: dict[str, Fate] = {}
        self._waiting = 0
        self._creating = 0
        self._task_numbers = itertools.count(1)
        self._people: People
        self._links: Mapping[Link, Proxy]
        self._troubles: Troubles

    def open(self, people: People, links: Mapping[Link, Proxy], troubles: Troubles) -> None:
        """Begin; until then nothing is heard."""
        self._people, self._links, self._troubles = people, links, troubles

    # What the proxy hears

    def hear(self, call: Call) -> None:
        """React to a callback, whatever will become of it."""
        form, about = call.form, subject(call)
        sid = form.get("ReservationSid", "")
        if sid and sid not in self._fates:
            self._begin(sid, form["TaskSid"], form["WorkerSid"])
        match about:
            case "event task.created":
                self._waiting += 1
            case "event task.canceled":
                self._waiting -= 1
            case "event reservation.accepted":
                self._waiting -= 1
                self._do(self._finish(sid, form["TaskSid"], self._fates[sid]))
            case "event reservation.timeout" | "event reservation.completed":
                self._do(self._come_back(form["WorkerSid"]))

    def hear_answer(self, call: Call, answer: Answer) -> None:
        """Note what the app answered to a callback."""
        about, sid = subject(call), call.form.get("ReservationSid", "")
        if about in {"assignment", "fallback"} and answer.status == _OK:
            self.heard.told.append(Told(sid, about, answer.body.decode()))
        if answer.status in _REFUSED or answer.status in {500, 502}:
            self.heard.surprises.append(f"{answer.status} to {about} of {sid}: {answer.body!r}")

    # Tasks

    async def keep_tasks_coming(self, wanted: int) -> None:
        """Have *wanted* Tasks wait for a Worker at any time, until cancelled."""
        while True:
            for _ in range(wanted - self._waiting - self._creating):
                self._creating += 1
                self._do(self._create(next(self._task_numbers)))
            await asyncio.sleep(_TICK_SECONDS)

    async def go_home(self) -> None:
        """Cancel the Tasks that wait, and let everything that is under way come to its end."""
        taskrouter = self._people.taskrouter
        while self._tasks or self._waiting > 0:
            reply = await taskrouter.call("GET", "/Tasks?AssignmentStatus=pending&PageSize=100")
            for task in reply.body["tasks"]:
                await self._cancel(task["sid"])
            await asyncio.sleep(_TICK_SECONDS)

    async def _create(self, number: int) -> None:
        key = f"chaos-{self._plan.seed}-{number}"
        for fault in self._plan.faults_of_task(number):
            # As it stands in the form that goes to TaskRouter, up to the closing quote.
            self._links[Link.REST].arm(fault, f"{key}%22")
        form = {"attributes": json.dumps({"number": number})}
        try:
            reply = await self._people.supervisor.insist(
                "POST", "/create-task", form, {"Idempotency-Key": key}
            )
        finally:
            self._creating -= 1
        self._expect(reply.status in {201, 503, None}, f"{reply} to creating Task {number}")

    async def _cancel(self, task_sid: str) -> None:
        form = {"AssignmentStatus": "canceled", "Reason": "chaos"}
        await self._people.taskrouter.call("POST", f"/Tasks/{task_sid}", form)

    # People

    def _begin(self, sid: str, task_sid: str, worker_sid: str) -> None:
        fate = self._fates[sid] = self._plan.fate(len(self.heard.reservations))
        self.heard.reservations.append(sid)
        for fault in fate.faults:
            self._links[fault.link].arm(fault, sid)
        if fate.trouble:
            self._do(self._troubles.strike(fate.trouble))
        self._do(self._live(sid, task_sid, worker_sid, fate))

    async def _live(self, sid: str, task_sid: str, worker_sid: str, fate: Fate) -> None:
        await asyncio.sleep(fate.after)
        own = self._people.worker[worker_sid]
        every = self._people.supervisor
        match fate.decision:
            case Decision.ACCEPT:
                await self._decide(own, sid, "accept")
            case Decision.ACCEPT_TWICE:
                await asyncio.gather(
                    self._decide(own, sid, "accept"),
                    self._decide(every, sid, "accept", task_sid),
                )
            case Decision.ACCEPT_AND_REJECT:
                await asyncio.gather(
                    self._decide(own, sid, "accept"),
                    self._decide(every, sid, "reject", task_sid),
                )
            case Decision.REJECT:
                await self._decide(own, sid, "reject")
            case Decision.ACCEPT_AT_TASKROUTER:
                path = f"/Tasks/{task_sid}/Reservations/{sid}"
                await self._people.taskrouter.call("POST", path, {"ReservationStatus": "accepted"})
            case Decision.CANCEL:
                await self._cancel(task_sid)
            case Decision.IGNORE:
                pass

    async def _decide(self, who: Client, sid: str, verb: str, task_sid: str | None = None) -> bool:
        form = {"task_sid": task_sid} if task_sid else None
        reply = await who.insist("POST", f"/reservations/{sid}/{verb}", form)
        if reply.status == _OK:
            self.heard.promises.append((sid, verb))
        self._expect(reply.status in {200, 409, 503, None}, f"{reply} to {verb} {sid}")
        return reply.status == _OK

    async def _finish(self, sid: str, task_sid: str, fate: Fate) -> None:
        await asyncio.sleep(fate.finish_after)
        task = f"/Tasks/{task_sid}"
        taskrouter, every = self._people.taskrouter, self._people.supervisor
        if fate.finish is Finish.WRAP_AND_COMPLETE:
            await taskrouter.call("POST", task, {"AssignmentStatus": "wrapping"})
            await asyncio.sleep(fate.finish_after)
        through_us = fate.finish is not Finish.COMPLETE_AT_TASKROUTER
        if not (through_us and await self._decide(every, sid, "complete", task_sid)):
            await taskrouter.call("POST", task, {"AssignmentStatus": "completed"})

    async def _come_back(self, worker_sid: str) -> None:
        form = {"ActivitySid": self._people.idle}
        await self._people.taskrouter.insist("POST", f"/Workers/{worker_sid}", form)

    def _expect(self, holds: bool, surprise: str) -> None:  # noqa: FBT001  reads as assert does
        if not holds:
            self.heard.surprises.append(surprise)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.heard.surprises.append(f"the runner itself: {error!r}")
