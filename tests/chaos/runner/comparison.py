"""Compares the app's records and responses with the ground truth."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.runtime import SystemClock
from local import dynamodb
from tests.chaos.runner.contact_center import CallbackResponse, Observations
from tests.chaos.runner.ground_truth import GroundTruth, TaskRouterReservation, read_records
from tests.chaos.runner.stack import ChaosStack

Record = Mapping[str, Any]

MAX_SECONDS = 60
"""Maximum time for a lease to expire and a sweep to reconcile all Events.

Reconciliation ignores the Events of the last 15 s.
"""

_OPEN_STATUSES = {"pending", "accepted", "wrapping"}
_DECIDED_STATUSES = {"accept": "accepted", "reject": "rejected", "complete": "completed"}
_NO_INSTRUCTION = "{}"
_CALL_INSTRUCTION = '"call"'
_UNRECORDED_METRIC = "UnrecordedReservation"


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        differences: Descriptions of all differences and of all errors during the run.
        seconds: Time until the records were consistent, or until the maximum wait had passed.
    """

    differences: list[str]
    seconds: float


async def wait_until_consistent(
    chaos_stack: ChaosStack, truth: GroundTruth, observations: Observations
) -> Comparison:
    """Compare repeatedly until nothing differs or the maximum wait has passed.

    Args:
        chaos_stack: The running stack, after fault injection has ended.
        truth: The final state of TaskRouter.
        observations: Observations made by the clients during the run.
    """
    definition = chaos_stack.definition
    client = dynamodb.client(definition.dynamodb_url)
    table = chaos_stack.settings.reservations_table
    log = chaos_stack.output("api")
    started = time.monotonic()
    while True:
        records = await asyncio.to_thread(read_records, client, table)
        # A record that the sweep is processing may be overdue for a moment.
        now = SystemClock().now_ms() - 2_000
        differences = find_differences(truth, records, observations, now=now, log=log)
        seconds = time.monotonic() - started
        if not differences or seconds > MAX_SECONDS:
            break
        await asyncio.sleep(1)
    remaining = [f"after {MAX_SECONDS} s: {difference}" for difference in differences]
    return Comparison([*remaining, *observations.errors], seconds)


def find_differences(
    truth: GroundTruth,
    records: Mapping[str, Record],
    observations: Observations,
    *,
    now: int,
    log: str = "",
) -> list[str]:
    """Describe each difference between the app and TaskRouter.

    Args:
        truth: The state of TaskRouter.
        records: The app's table, by Reservation SID.
        observations: Observations made by the clients during the run.
        now: Epoch ms; no record may be due at or before this time.
        log: The output of the API.
    """
    reservations, keys = truth.reservations, truth.tasks_by_key
    return [
        *(
            f"missing: {_describe_reservation(reservation)}"
            for sid, reservation in reservations.items()
            if sid not in records
        ),
        *(f"unknown to TaskRouter: {sid}" for sid in records if sid not in reservations),
        *_compare_records(truth, records, now),
        *_check_accepts(truth),
        *(f"key {key} created {count} Tasks" for key, count in keys.items() if key and count > 1),
        *_check_confirmed_decisions(truth, observations),
        *_check_callback_responses(observations, records, log),
        *_check_instructions(truth, observations, records),
    ]


def _compare_records(truth: GroundTruth, records: Mapping[str, Record], now: int) -> Iterator[str]:
    for sid, reservation in truth.reservations.items():
        if record := records.get(sid):
            for difference in _compare_record(reservation, record, now):
                actual, recorded = _describe_reservation(reservation), _describe_record(record)
                yield f"{difference}: {actual}; record: {recorded}"


def _compare_record(reservation: TaskRouterReservation, record: Record, now: int) -> Iterator[str]:
    status = record["status"]
    history = [change["to"] for change in record["history"]]
    if status != reservation.statuses[-1]:
        yield "different status"
    if (record["task_sid"], record["worker_sid"]) != (reservation.task_sid, reservation.worker_sid):
        yield "different Task or Worker"
    if not _is_subsequence(history, reservation.statuses):
        yield "different history"
    if "claim_until" in record:
        yield "claim not released"
    if record.get("open_as") != (status if status in _OPEN_STATUSES else None):
        yield "wrong partition of the `due` index"
    if ("due_at" in record) != (status in _OPEN_STATUSES):
        yield "ended but still has a due time, or open but never due"
    if record.get("due_at", now + 1) <= now:
        yield "overdue"


def _is_subsequence(part: list[str], whole: tuple[str, ...]) -> bool:
    """Return whether `whole` contains all elements of `part` in the same order."""
    remaining = iter(whole)
    return all(element in remaining for element in part)


def _check_accepts(truth: GroundTruth) -> Iterator[str]:
    accepted: Counter[str] = Counter()
    for reservation in truth.reservations.values():
        accepted[reservation.task_sid] += reservation.statuses.count("accepted")
    for task_sid, count in accepted.items():
        accepts = max(count, truth.accepts.get(task_sid, 0))
        if accepts > 1:
            yield f"Task {task_sid} was accepted {accepts} times"


def _check_confirmed_decisions(truth: GroundTruth, observations: Observations) -> Iterator[str]:
    for sid, verb in observations.confirmed_decisions:
        reservation = truth.reservations.get(sid)
        if reservation is None or _DECIDED_STATUSES[verb] not in reservation.statuses:
            actual = (
                _describe_reservation(reservation)
                if reservation
                else f"{sid} is unknown to TaskRouter"
            )
            yield f"wrong confirmation: the response to the {verb} request was 200, but {actual}"


def _check_callback_responses(
    observations: Observations, records: Mapping[str, Record], log: str
) -> Iterator[str]:
    bodies = defaultdict(list)
    for response in observations.callback_responses:
        sid = response.reservation_sid
        bodies[sid].append(response.body)
        record = records.get(sid)
        was_reported = response.subject == "fallback" and _is_reported_unrecorded(sid, log)
        if not _is_recorded(response, record) and not was_reported:
            recorded = _describe_record(record) if record else "none"
            yield (
                f"the response to the {response.subject} callback for {sid} was 200, but the "
                f"callback was not recorded; record: {recorded}"
            )
    for sid, answers in bodies.items():
        if len({*answers}) > 1 and not _is_allowed_change(sid, answers, log):
            recorded = _describe_record(records[sid]) if sid in records else "none"
            yield f"different answers to the callbacks for {sid}: {answers}; record: {recorded}"


def _check_instructions(
    truth: GroundTruth, observations: Observations, records: Mapping[str, Record]
) -> Iterator[str]:
    counts = Counter(truth.instructions)
    # Repeated answers to the callbacks for a Reservation count as one instruction.
    counts.update(
        {
            response.reservation_sid
            for response in observations.callback_responses
            if _CALL_INSTRUCTION in response.body
        }
    )
    for sid, count in counts.items():
        if count > 1:
            yield f"{count} instructions were sent for {sid}"
    for sid in observations.sent_instructions:
        if not truth.instructions.get(sid):
            recorded = _describe_record(records[sid]) if sid in records else "none"
            yield (
                f"wrong confirmation: no instruction for {sid} reached TaskRouter; "
                f"record: {recorded}"
            )


def _is_recorded(response: CallbackResponse, record: Record | None) -> bool:
    """Return whether the record contains the answer or is allowed to omit it.

    If a callback arrives after its Reservation was decided, the app returns no instruction and may
    record no answer.
    """
    return record is not None and ("answer" in record or response.body == _NO_INSTRUCTION)


def _is_allowed_change(sid: str, answers: list[str], log: str) -> bool:
    """Return whether the answers changed only once, from an unrecorded answer to no instruction.

    The app returns no instruction for a repeated callback if the Reservation was decided in the
    meantime.
    """
    first = answers.index(_NO_INSTRUCTION) if _NO_INSTRUCTION in answers else len(answers)
    parts = ({*answers[:first]}, {*answers[first:]})
    return [len(part) for part in parts] == [1, 1] and _is_reported_unrecorded(sid, log)


def _is_reported_unrecorded(sid: str, log: str) -> bool:
    return any(sid in line and _UNRECORDED_METRIC in line for line in log.splitlines())


def _describe_reservation(reservation: TaskRouterReservation) -> str:
    statuses = " -> ".join(reservation.statuses)
    return f"{reservation.sid} (Task {reservation.task_sid}, TaskRouter statuses: {statuses})"


def _describe_record(record: Record) -> str:
    history = [f"{change['to']} by {change['by']}" for change in record["history"]]
    attributes = {
        name: str(record[name])
        for name in ("status", "open_as", "due_at", "claim_until", "answer", "instruction_sent")
        if name in record
    }
    return f"{' -> '.join(history)} {attributes}"
