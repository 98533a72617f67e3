"""What differs from the truth: one sentence each, with the SIDs and both histories."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from tests.chaos.floor import Heard, Told
from tests.chaos.truth import TrueReservation, Truth

Record = Mapping[str, Any]

_OPEN = {"pending", "accepted", "wrapping"}
_KEPT = {"accept": "accepted", "reject": "rejected", "complete": "completed"}
_NOTHING = "{}"
_UNRECORDED = "UnrecordedReservation"


def differences(
    truth: Truth, records: Mapping[str, Record], heard: Heard, *, now: int, log: str = ""
) -> list[str]:
    """Hold the records against the truth, and against what was said.

    Args:
        truth: TaskRouter's.
        records: our table, by Reservation SID.
        heard: what the app answered.
        now: epoch ms; what is due by then should have been looked at.
        log: what the API has printed.
    """
    return [
        *(f"missing: {_true(one)}" for sid, one in _missing(truth, records)),
        *(f"unknown to TaskRouter: {sid}" for sid in records if sid not in truth.reservations),
        *_of_records(truth, records, now),
        *_accepted_once(truth),
        *(f"key {key} has created {n} Tasks" for key, n in truth.keys.items() if key and n > 1),
        *_promises(truth, heard),
        *_answers(heard, records, log),
    ]


def _missing(truth: Truth, records: Mapping[str, Record]) -> Iterator[tuple[str, TrueReservation]]:
    return ((sid, one) for sid, one in truth.reservations.items() if sid not in records)


def _of_records(truth: Truth, records: Mapping[str, Record], now: int) -> Iterator[str]:
    for sid, one in truth.reservations.items():
        if (record := records.get(sid)) is None:
            continue
        for complaint in _of_one(one, record, now):
            yield f"{complaint}: {_true(one)}; recorded {_recorded(record)}"


def _of_one(one: TrueReservation, record: Record, now: int) -> Iterator[str]:
    status = record["status"]
    if status != one.statuses[-1]:
        yield "another status"
    if (record["task_sid"], record["worker_sid"]) != (one.task_sid, one.worker_sid):
        yield "another Task or Worker"
    if not _is_within([change["to"] for change in record["history"]], one.statuses):
        yield "another history"
    if "claim_until" in record:
        yield "a claim is left"
    if record.get("open_as") != (status if status in _OPEN else None):
        yield "in the wrong partition of the index due"
    if ("due_at" in record) != (status in _OPEN):
        yield "due though it has ended, or never due though it is open"
    if record.get("due_at", now + 1) <= now:
        yield "due in the past"


def _is_within(some: list[str], every: tuple[str, ...]) -> bool:
    """Tell whether *some* stand among *every* in the same order."""
    rest = iter(every)
    return all(one in rest for one in some)


def _accepted_once(truth: Truth) -> Iterator[str]:
    by_task: Counter[str] = Counter()
    for one in truth.reservations.values():
        by_task[one.task_sid] += one.statuses.count("accepted")
    for task_sid, times in by_task.items():
        asked = truth.accepts.get(task_sid, 0)
        if times > 1 or asked > 1:
            yield f"Task {task_sid} was accepted {max(times, asked)} times"


def _promises(truth: Truth, heard: Heard) -> Iterator[str]:
    for sid, verb in heard.promises:
        one = truth.reservations.get(sid)
        if one is None or _KEPT[verb] not in one.statuses:
            told = _true(one) if one else sid
            yield f"a promise broken: {verb} was answered 200, but {told}"


def _answers(heard: Heard, records: Mapping[str, Record], log: str) -> Iterator[str]:
    answers = defaultdict(set)
    for told in heard.told:
        answers[told.reservation_sid].add(told.answer)
        record = records.get(told.reservation_sid)
        counted = told.about == "fallback" and _is_counted(told.reservation_sid, log)
        if not _is_kept(told, record) and not counted:
            recorded = _recorded(record) if record else "nothing"
            sentence = f"answered 200 to the {told.about} of {told.reservation_sid}"
            yield f"{sentence}, and not recorded; recorded {recorded}"
    for sid, different in answers.items():
        if len(different) > 1:
            yield f"different answers to the callbacks of {sid}: {sorted(different)}"


def _is_kept(told: Told, record: Record | None) -> bool:
    """Tell whether *told* is recorded.

    That the record was there, and decided, may be all that a callback had the time to find out;
    then it is told to do nothing, and leaves nothing.
    """
    return record is not None and ("answer" in record or told.answer == _NOTHING)


def _is_counted(sid: str, log: str) -> bool:
    return any(sid in line and _UNRECORDED in line for line in log.splitlines())


def _true(one: TrueReservation) -> str:
    return f"{one.sid} of Task {one.task_sid} is truly {' -> '.join(one.statuses)}"


def _recorded(record: Record) -> str:
    history = [f"{change['to']} by {change['by']}" for change in record["history"]]
    rest = {
        name: str(record[name])
        for name in ("status", "open_as", "due_at", "claim_until", "answer")
        if name in record
    }
    return f"{' -> '.join(history)} {rest}"
