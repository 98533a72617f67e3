"""The random plan of a run.

The seed determines the plan for each Reservation, Task and reconciliation by number. The seed does
not control how the processes interleave, so two runs with the same seed are similar but not
identical.
"""

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar


class Decision(StrEnum):
    """The ways to handle a pending Reservation."""

    ACCEPT = "accept"
    ACCEPT_TWICE = "accept twice simultaneously"
    ACCEPT_AND_REJECT = "accept and reject simultaneously"
    ACCEPT_IN_TASKROUTER = "accept directly in TaskRouter"
    ACCEPT_BY_PHONE = "accept with an instruction, then without"
    ACCEPT_BY_PHONE_AND_IN_TASKROUTER = (
        "accept with an accepting instruction and directly in TaskRouter simultaneously, then "
        "repeat the instruction"
    )
    REJECT = "reject"
    IGNORE = "let it time out"
    CANCEL = "cancel the Task"


class Completion(StrEnum):
    """The ways to complete an accepted Reservation."""

    COMPLETE = "complete"
    COMPLETE_IN_TASKROUTER = "complete directly in TaskRouter"
    WRAP_AND_COMPLETE = "wrap up, then complete"


class ProcessFault(StrEnum):
    """Faults that affect whole processes."""

    API_KILLED = "API killed"
    SWEEP_KILLED = "sweep killed"
    API_SUSPENDED = "API suspended"
    DATABASE_DOWN = "DynamoDB unreachable"
    TASKROUTER_DOWN = "TaskRouter unreachable"
    TASKROUTER_REFUSES = "TaskRouter refuses connections"
    TASKROUTER_RESETS = "TaskRouter resets connections before a request"


class Connection(StrEnum):
    """The connections between the processes."""

    CALLBACKS = "callbacks"
    REST = "TaskRouter's REST API"
    DATABASE = "DynamoDB"


@dataclass(frozen=True)
class RequestFault:
    """A fault that affects requests on one connection.

    Attributes:
        connection: The affected connection.
        effect: "disconnected" (no response), "error response", "delayed", "delivered late" (no
            response, and the request arrives later), "duplicated" (the client gets the second
            response), "dripping" (the response arrives byte by byte), "unanswered" (the connection
            stays open without a response) or "lost" (like "disconnected", but for every matching
            request). Every effect except "lost" affects a single request.
        after: Whether the request takes effect before the fault.
        seconds: The delay of "delayed" and "delivered late", or the maximum time that "dripping"
            and "unanswered" take.
        response: Status and body of "error response".
        subjects: Prefixes of the subjects of matching requests; see `proxy.subject_of`.
    """

    connection: Connection
    effect: str
    after: bool = False
    seconds: float = 0.0
    response: tuple[int, str] = (500, "")
    subjects: tuple[str, ...] = ("",)

    @property
    def name(self) -> str:
        """The fault's name in the report."""
        words = [f"{self.connection}:", self.subjects[0], self.effect]
        if self.effect == "error response":
            words.append(str(self.response[0]))
        if self.effect in {"delayed", "delivered late"}:
            words.append(f"{self.seconds:g} s")
        if self.after:
            words.append("after taking effect")
        return " ".join(word for word in words if word)


@dataclass(frozen=True)
class ReservationPlan:
    """The planned handling of one Reservation, with delays in seconds."""

    decision: Decision
    decision_delay: float
    completion: Completion
    completion_delay: float
    request_faults: tuple[RequestFault, ...]
    process_fault: ProcessFault | None


_DECISIONS = {
    Decision.ACCEPT: 32,
    Decision.ACCEPT_TWICE: 14,
    Decision.ACCEPT_AND_REJECT: 8,
    Decision.ACCEPT_IN_TASKROUTER: 6,
    Decision.ACCEPT_BY_PHONE: 10,
    Decision.ACCEPT_BY_PHONE_AND_IN_TASKROUTER: 8,
    Decision.REJECT: 14,
    Decision.IGNORE: 12,
    Decision.CANCEL: 4,
}
_INSTRUCTIONS = {Decision.ACCEPT_BY_PHONE, Decision.ACCEPT_BY_PHONE_AND_IN_TASKROUTER}
_COMPLETIONS = {
    Completion.COMPLETE: 60,
    Completion.COMPLETE_IN_TASKROUTER: 25,
    Completion.WRAP_AND_COMPLETE: 15,
}
_PROCESS_FAULTS = {
    ProcessFault.API_KILLED: 8,
    ProcessFault.SWEEP_KILLED: 3,
    ProcessFault.API_SUSPENDED: 2,
    ProcessFault.DATABASE_DOWN: 3,
    ProcessFault.TASKROUTER_DOWN: 2,
    ProcessFault.TASKROUTER_REFUSES: 3,
    ProcessFault.TASKROUTER_RESETS: 3,
}
_PROCESS_FAULT_SHARE = 0.35

_STUCK_SECONDS = 20.0
"""Longer than the timeout of every request that the app sends."""
_LIST_FAULT_SHARE = 0.25

_EVENTS, _TASKS = ("list of Events",), ("list of Tasks",)
_FIRST_SUBJECTS = ("assignment", "fallback", "event reservation.created")
_TASKROUTER_THROTTLED = (429, '{"code": 20429, "message": "Too Many Requests", "status": 429}')
_TASKROUTER_FAILED = (500, '{"code": 20500, "message": "Internal Server Error", "status": 500}')
_DYNAMODB_THROTTLED = (
    400,
    '{"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}',
)
_DYNAMODB_FAILED = (500, '{"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError"}')

_CALLBACK_FAULTS = {
    RequestFault(Connection.CALLBACKS, "lost", subjects=_FIRST_SUBJECTS): 6,
    RequestFault(Connection.CALLBACKS, "disconnected", subjects=("assignment",)): 3,
    RequestFault(Connection.CALLBACKS, "disconnected", after=True, subjects=("assignment",)): 5,
    RequestFault(Connection.CALLBACKS, "delivered late", seconds=2, subjects=("assignment",)): 5,
    RequestFault(Connection.CALLBACKS, "delayed", seconds=2, subjects=("assignment",)): 3,
    RequestFault(
        Connection.CALLBACKS, "delayed", seconds=2, after=True, subjects=("assignment",)
    ): 3,
    RequestFault(Connection.CALLBACKS, "duplicated", subjects=("assignment",)): 5,
    RequestFault(Connection.CALLBACKS, "disconnected", subjects=("event",)): 5,
    RequestFault(Connection.CALLBACKS, "delivered late", seconds=3, subjects=("event",)): 5,
    RequestFault(Connection.CALLBACKS, "duplicated", subjects=("event",)): 4,
}
_REST_FAULTS = {
    RequestFault(Connection.REST, "disconnected"): 6,
    RequestFault(Connection.REST, "disconnected", after=True): 9,
    RequestFault(Connection.REST, "error response", response=_TASKROUTER_THROTTLED): 6,
    RequestFault(Connection.REST, "error response", response=_TASKROUTER_FAILED): 5,
    RequestFault(Connection.REST, "error response", response=_TASKROUTER_FAILED, after=True): 6,
    RequestFault(Connection.REST, "delayed", seconds=1.5): 3,
    RequestFault(Connection.REST, "delayed", seconds=9, after=True): 1,
    RequestFault(Connection.REST, "delivered late", seconds=2): 3,
    RequestFault(Connection.REST, "duplicated"): 5,
    RequestFault(Connection.REST, "dripping", after=True, seconds=_STUCK_SECONDS): 3,
    RequestFault(Connection.REST, "unanswered", seconds=_STUCK_SECONDS): 2,
    RequestFault(Connection.REST, "unanswered", after=True, seconds=_STUCK_SECONDS): 2,
}
_ANSWER_UNRECORDED = RequestFault(Connection.DATABASE, "lost", subjects=("answer",))
"""Loses every write of the answer, for both the assignment callback and the fallback callback."""
_DATABASE_FAULTS = {
    RequestFault(Connection.DATABASE, "disconnected"): 5,
    RequestFault(Connection.DATABASE, "disconnected", after=True): 6,
    RequestFault(Connection.DATABASE, "error response", response=_DYNAMODB_THROTTLED): 5,
    RequestFault(Connection.DATABASE, "error response", response=_DYNAMODB_FAILED): 4,
    RequestFault(Connection.DATABASE, "error response", response=_DYNAMODB_FAILED, after=True): 4,
    RequestFault(Connection.DATABASE, "delayed", seconds=1): 3,
    RequestFault(Connection.DATABASE, "delayed", seconds=1, after=True): 3,
    RequestFault(Connection.DATABASE, "delivered late", seconds=2): 2,
    RequestFault(Connection.DATABASE, "duplicated"): 4,
    RequestFault(Connection.DATABASE, "dripping", after=True, seconds=_STUCK_SECONDS): 3,
    RequestFault(Connection.DATABASE, "unanswered", seconds=_STUCK_SECONDS): 2,
    _ANSWER_UNRECORDED: 12,
}
_LIST_FAULTS = {
    RequestFault(
        Connection.REST, "error response", response=_TASKROUTER_FAILED, subjects=_EVENTS
    ): 4,
    RequestFault(Connection.REST, "disconnected", subjects=_EVENTS): 3,
    RequestFault(
        Connection.REST,
        "dripping",
        after=True,
        seconds=_STUCK_SECONDS,
        subjects=_EVENTS,
    ): 1,
    RequestFault(
        Connection.REST, "error response", response=_TASKROUTER_FAILED, subjects=_TASKS
    ): 2,
}
_REQUEST_FAULTS = _CALLBACK_FAULTS | _REST_FAULTS | _DATABASE_FAULTS
_TASK_CREATION_FAULTS = {
    fault: weight
    for fault, weight in _REST_FAULTS.items()
    # TaskRouter creates a Task for each duplicate, and every delay must be shorter than the lease.
    if fault.effect != "duplicated" and fault.seconds < 4
}


@dataclass(frozen=True)
class Plan:
    """The plan of a run.

    Args:
        seed: Seed of all random choices.
        fault_rate: Average number of faults per Reservation. Task creation and reconciliation
            have separate faults.
    """

    seed: int
    fault_rate: float

    def reservation(self, number: int) -> ReservationPlan:
        """Return the plan for the Reservation with this number, counting from 0."""
        rng = random.Random(f"{self.seed}/reservation/{number}")  # noqa: S311  not for secrets
        decision = _choose(rng, _DECISIONS)
        decision_delay = rng.uniform(0, 1)
        completion = _choose(rng, _COMPLETIONS)
        completion_delay = rng.uniform(0, 0.4)
        whole, fraction = divmod(self.fault_rate, 1)
        count = int(whole) + (rng.random() < fraction)
        request_faults = tuple(_choose(rng, _REQUEST_FAULTS) for _ in range(count))
        if _ANSWER_UNRECORDED in request_faults:
            # The answer may have called a phone, so the app must refuse a second instruction.
            decision = Decision.ACCEPT_BY_PHONE
        if decision in _INSTRUCTIONS:
            # TaskRouter executes each duplicate of an instruction.
            request_faults = tuple(
                fault
                for fault in request_faults
                if (fault.connection, fault.effect) != (Connection.REST, "duplicated")
            )
        process_fault = None
        if count and rng.random() < _PROCESS_FAULT_SHARE:
            request_faults, process_fault = (), _choose(rng, _PROCESS_FAULTS)
        return ReservationPlan(
            decision, decision_delay, completion, completion_delay, request_faults, process_fault
        )

    def list_faults(self, number: int) -> tuple[RequestFault, ...]:
        """Return the faults for the list requests of the reconciliation with this number."""
        rng = random.Random(f"{self.seed}/reconciliation/{number}")  # noqa: S311  not for secrets
        if rng.random() >= _LIST_FAULT_SHARE:
            return ()
        return (_choose(rng, _LIST_FAULTS),)

    def task_faults(self, number: int) -> tuple[RequestFault, ...]:
        """Return the faults for the creation of the Task with this number."""
        rng = random.Random(f"{self.seed}/task/{number}")  # noqa: S311  not for secrets
        if rng.random() >= self.fault_rate / 4:
            return ()
        return (_choose(rng, _TASK_CREATION_FAULTS),)


_Option = TypeVar("_Option")


def _choose(rng: random.Random, weights: dict[_Option, int]) -> _Option:
    (option,) = rng.choices(list(weights), list(weights.values()))
    return option
