"""Reservation records in DynamoDB.

Every update is conditional and needs no prior read. The conditions for status changes are generated
from the tables MOVES and OBSERVED in `chalicelib.domain.reservations`.

Until TaskRouter reports ``accepted``, the attribute ``acceptor`` identifies the source of the
current attempt to accept the Reservation: the owner of a claim without an instruction, the sender
of a confirmed instruction, or the callback's answer. Afterward, the attribute identifies who
accepted the Reservation or, if that is unknown, the source of the report.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from chalicelib.adapters.dynamodb.client import (
    UpdateItem,
    callback_attributes,
    history_item,
    read_item,
    to_item,
    to_reservation,
    translate_errors,
    utc_hour,
)
from chalicelib.adapters.dynamodb.jobs import DynamoJobs
from chalicelib.domain.errors import StoreUnavailable
from chalicelib.domain.reservations import (
    ACHIEVED,
    MOVES,
    OBSERVED,
    OPEN,
    RINGING,
    Claim,
    DueReservation,
    HistoryEntry,
    Reservation,
    Status,
    StatusUpdate,
)

_DAY_SECONDS = 86_400
_CLAIM = ("claim_until", "claim_target", "claim_id", "claim_by")
_NAMES = ("worker_name", "workflow_name", "task_queue_name")
_NO_LIVE_CLAIM = "attribute_not_exists(#claim_until) OR #claim_until <= :now"

_SECOND_WRITE_LIMIT = 0.1
"""A second write starts only if the first write took at most this fraction of the time limit."""


class DynamoReservationStore(DynamoJobs):
    """Implements `chalicelib.usecases.ports.ReservationStore` with DynamoDB.

    Args:
        client: a client created by `make_client`.
        reservations_table: the name of the `reservations` table.
        state_table: the name of the `state` table.
        retention_days: number of days for which records are kept.
        callback_seconds: time limit for recording a callback.
    """

    def __init__(
        self,
        client: Any,
        *,
        reservations_table: str,
        state_table: str,
        retention_days: int,
        callback_seconds: float = 2.0,
    ) -> None:
        super().__init__(client, reservations_table=reservations_table, state_table=state_table)
        self._retention_days = retention_days
        self._callback_seconds = callback_seconds

    def record_callback(self, reservation: Reservation, *, due_at: int, now: int) -> dict[str, Any]:
        """Record a callback once; a second write may be needed for the answer ``{}``.

        Returns:
            The effective answer, which is usually the answer in *reservation*. If an earlier
            callback was answered, the earlier answer is returned. The answer is ``{}`` if the
            Reservation is no longer pending, has a live claim, or has an instruction that was sent
            over REST.
        """
        started = time.monotonic()
        answer = dict(reservation.answer or {})
        update = UpdateItem(
            set=callback_attributes(reservation)
            | {"answer": answer, "acceptor": reservation.accepted_by, "rule": reservation.rule},
            set_if_absent=self._new_record(reservation, due_at),
            # Keep a recorded creation time, which may be more accurate, but replace the timeout.
            set_expressions=["#expires_at = if_not_exists(#reserved_at, :reserved_at) + :timeout"],
            conditions=[
                "attribute_not_exists(#answer)",
                "attribute_not_exists(#status) OR #status = :pending",
                _NO_LIVE_CLAIM,
            ],
            values={
                ":reserved_at": reservation.reserved_at,
                ":timeout": reservation.expires_at - reservation.reserved_at,
                ":pending": Status.PENDING.value,
                ":now": now,
            },
        )
        if answer:
            update.set["due_at"] = update.set_if_absent.pop("due_at")
            # After an instruction was sent over REST, another one could call a phone again.
            update.conditions.append("attribute_not_exists(#instruction_sent)")
        key = {"reservation_sid": reservation.reservation_sid}
        with translate_errors():
            recorded, item = update.run(self._client, self._reservations, key)
            if recorded or "answer" in item:
                return dict(item["answer"])
        try:
            if time.monotonic() - started > self._callback_seconds * _SECOND_WRITE_LIMIT:
                raise StoreUnavailable("DynamoDB is too slow for a second write. Retry.")
            return self._record_late_callback(reservation)
        except StoreUnavailable:
            if item.get("status", Status.PENDING) == Status.PENDING:
                # Without a recorded answer, a repeated callback could get an instruction later.
                raise
            # The Reservation is recorded and no longer pending, so the second write is optional.
            return {}

    def _record_late_callback(self, reservation: Reservation) -> dict[str, Any]:
        """Record a callback with the answer ``{}``; return the effective answer."""
        chosen = (reservation.answer or {}).get("instruction")
        withheld = chosen if chosen in RINGING else None
        rule = None if reservation.answer else reservation.rule
        update = UpdateItem(
            set={"answer": {}, "withheld": withheld, "rule": rule}
            | callback_attributes(reservation),
            conditions=["attribute_not_exists(#answer)", "attribute_exists(#status)"],
        )
        key = {"reservation_sid": reservation.reservation_sid}
        with translate_errors():
            _, item = update.run(self._client, self._reservations, key)
            return dict(item.get("answer", {}))

    def create_record(self, reservation: Reservation, *, due_at: int | None) -> bool:
        """Record a Reservation without a callback, unless it is already recorded."""
        update = UpdateItem(
            set=callback_attributes(reservation) | self._new_record(reservation, due_at),
            conditions=["attribute_not_exists(#reservation_sid)"],
        )
        update.set |= {"expires_at": reservation.expires_at, "acceptor": reservation.accepted_by}
        return self._run(update, reservation.reservation_sid)[0]

    def _new_record(self, reservation: Reservation, due_at: int | None) -> dict[str, Any]:
        """Return the attributes that are set when a record is created."""
        is_open = reservation.status in OPEN
        reserved_at = reservation.reserved_at
        return {
            "status": reservation.status.value,
            "open_as": reservation.status.value if is_open else None,
            "due_at": due_at if is_open else None,
            "reserved_at": reserved_at,
            "hour": utc_hour(reserved_at),
            "ttl": reserved_at // 1000 + self._retention_days * _DAY_SECONDS,
            "history": [history_item(entry) for entry in reservation.history],
        }

    def claim(
        self,
        reservation_sid: str,
        claim: Claim,
        *,
        now: int,
        worker_sid: str | None,
        task_sid: str | None,
    ) -> tuple[bool, Reservation | None]:
        """Claim a Reservation. The sweep checks the Reservation when the claim expires."""
        last_claim = {"at": now, "by": claim.by, "target": claim.target.value}
        update = UpdateItem(
            set={
                "claim_until": claim.until,
                "claim_target": claim.target.value,
                "claim_id": claim.claim_id,
                "claim_by": claim.by,
                f"last_claim_{claim.target}": last_claim,
                "due_at": claim.until,
                "acceptor": claim.by if claim.accepts and claim.instruction is None else None,
            },
            # If a response is lost, the client repeats the write and finds its own claim.
            conditions=[f"{_NO_LIVE_CLAIM} OR #claim_id = :claim_id"],
            values={":now": now, ":claim_id": claim.claim_id},
        )
        _require_transition(update, MOVES, claim.target)
        if claim.instruction is not None:
            update.set["instruction_sent"] = {
                "claim_id": claim.claim_id,
                "by": claim.by,
                "instruction": dict(claim.instruction),
            }
        if claim.instruction is not None or claim.unless_ringing:
            _require_no_ringing(update, claim)
        for attribute, required in (("worker_sid", worker_sid), ("task_sid", task_sid)):
            if required is not None:
                update.conditions.append(f"#{attribute} = :{attribute}")
                update.values[f":{attribute}"] = required
        return self._run(update, reservation_sid)

    def release_claim(
        self, reservation_sid: str, claim: Claim, *, due_at: int, acceptor: str | None
    ) -> None:
        """Release a claim whose request was not executed.

        The claim's instruction is removed even if the claim is no longer recorded.
        """
        if claim.instruction is not None:
            self._end_claim(UpdateItem(remove=["instruction_sent"]), reservation_sid, claim, due_at)
            return
        update = UpdateItem()
        if claim.accepts:
            _restore_acceptor(update, acceptor)
        ended, record = self._end_claim(update, reservation_sid, claim, due_at)
        if not ended and claim.accepts and record and record.accepted_by == claim.by:
            # The source of the acceptance that TaskRouter reported meanwhile becomes the acceptor.
            for entry in record.history:
                if entry.to in ACHIEVED[claim.target]:
                    update = UpdateItem(set={"acceptor": entry.by}, conditions=["#acceptor = :by"])
                    update.values[":by"] = claim.by
                    self._run(update, reservation_sid)
                    return

    def confirm_sent(self, reservation_sid: str, claim: Claim, *, due_at: int) -> None:
        """Confirm the instruction of a claim, and end the claim if it is still recorded."""
        # Use a separate attribute: earlier versions can't read new keys in `instruction_sent`.
        update = UpdateItem(set={"instruction_confirmed": True})
        update.set["acceptor"] = claim.by if claim.accepts else None
        self._end_claim(update, reservation_sid, claim, due_at)

    def _end_claim(
        self, update: UpdateItem, reservation_sid: str, claim: Claim, due_at: int
    ) -> tuple[bool, Reservation | None]:
        """Run *update* and end the claim.

        If the claim is no longer recorded, *update* is run only if the claim's instruction is still
        recorded and not confirmed. Another request's claim and the due time then remain unchanged.
        """
        ending = replace(
            update,
            set={**update.set, "due_at": due_at},
            remove=[*update.remove, *_CLAIM],
            conditions=["#claim_id = :claim_id"],
            values={":claim_id": claim.claim_id},
        )
        ended, record = self._run(ending, reservation_sid)
        if not ended and claim.instruction is not None:
            update.conditions = [
                "#instruction_sent.#claim_id = :claim_id",
                "attribute_not_exists(#instruction_confirmed)",
            ]
            update.values = ending.values
            self._run(update, reservation_sid)
        return ended, record

    def record_status(
        self, reservation_sid: str, update: StatusUpdate
    ) -> tuple[bool, Reservation | None]:
        """Record a status reported by TaskRouter if OBSERVED allows the transition."""
        if update.status is Status.PENDING:
            return self._record_creation(reservation_sid, update)
        if update.status is Status.WRAPPING:
            # Keep a live claim and its due time: the sweep checks the record if the owner crashes.
            recorded, record = self._record_status(reservation_sid, update, keep_claim=True)
            if recorded:
                return recorded, record
        recorded, record = self._record_status(reservation_sid, update)
        if not recorded and record is not None:
            record = self._record_owner_as_source(record, update) or record
        return recorded, record

    def _record_owner_as_source(
        self, record: Reservation, update: StatusUpdate
    ) -> Reservation | None:
        """Record the claim's owner as the source of an entry that another source recorded first.

        TaskRouter may report a decision in an event before it responds to the owner's request.
        """
        last_index, target = len(record.history) - 1, update.status
        is_owner = any(each.by == update.by and each.target is target for each in record.claims)
        entry = record.history[-1] if record.history else None
        if not is_owner or entry is None or entry.to is not target or entry.by == update.by:
            return None
        request = UpdateItem(
            set_expressions=[f"#history[{last_index}].#by = :by"],
            # Another request may have claimed the Reservation for the same status.
            conditions=[f"#history[{last_index}].#to = :to", f"#last_claim_{target}.#by = :by"],
            values={":by": update.by, ":to": target.value},
        )
        return self._run(request, record.reservation_sid)[1]

    def _record_creation(
        self, reservation_sid: str, update: StatusUpdate
    ) -> tuple[bool, Reservation | None]:
        """Record missing names and the creation time; leave the status unchanged."""
        at, condition = update.reserved_at, "attribute_not_exists(#worker_name)"
        if update.worker_name is None and at is None:
            return False, self.get(reservation_sid)
        request = UpdateItem(set_if_absent={name: vars(update)[name] for name in _NAMES})
        if at is not None:
            request.set = {"reserved_at": at, "hour": utc_hour(at), "expires_at": update.expires_at}
            condition += " OR #reserved_at > :set_reserved_at"
        request.conditions = ["attribute_exists(#status)", condition]
        return self._run(request, reservation_sid)

    def _record_status(
        self, reservation_sid: str, update: StatusUpdate, *, keep_claim: bool = False
    ) -> tuple[bool, Reservation | None]:
        """Record a status; if *keep_claim*, require a live claim and leave it unchanged."""
        entry = HistoryEntry(update.changed_at or update.at, update.status, update.by, update.note)
        request = UpdateItem(
            set={"status": update.status.value} | {name: vars(update)[name] for name in _NAMES},
            set_expressions=["#history = list_append(if_not_exists(#history, :none), :entry)"],
            values={":none": [], ":entry": [history_item(entry)]},
        )
        if keep_claim:
            request.set["open_as"] = update.status.value
            request.conditions.append("#claim_until > :at")
            request.values[":at"] = update.at
        elif update.status in OPEN:
            request.set |= {"open_as": update.status.value, "due_at": update.next_check_at}
            request.remove = ["checks", *_CLAIM]
        else:
            request.remove = ["open_as", "due_at", "checks", *_CLAIM]
        if update.status in ACHIEVED[Status.ACCEPTED]:
            request.set_if_absent["acceptor"] = update.by
        _require_transition(request, OBSERVED, update.status)
        return self._run(request, reservation_sid)

    def reschedule_check(
        self, due: DueReservation, *, at: int, checks: int, acceptor: str | None = None
    ) -> None:
        """Reschedule the next check, unless the record changed after *due* was read."""
        update = UpdateItem(
            set={"due_at": at, "checks": checks},
            remove=[*_CLAIM],
            conditions=["#open_as = :status", "#due_at = :due_at"],
            values={":status": due.status.value, ":due_at": due.due_at},
        )
        if due.status is Status.PENDING and due.is_claimed:
            # The owner of the expired claim did not accept the Reservation, but an earlier
            # instruction may still do so.
            _restore_acceptor(update, acceptor)
        self._run(update, due.reservation_sid)

    def get(self, reservation_sid: str) -> Reservation | None:
        """Return a record, or None if it does not exist, using a strongly consistent read."""
        key = to_item({"reservation_sid": reservation_sid})
        with translate_errors():
            item = read_item(self._client, self._reservations, key)
            return to_reservation(item) if item else None

    def erase(self, reservation_sid: str) -> bool:
        """Delete a record and return whether it existed."""
        key = to_item({"reservation_sid": reservation_sid})
        with translate_errors():
            response = self._client.delete_item(
                TableName=self._reservations, Key=key, ReturnValues="ALL_OLD"
            )
        return "Attributes" in response

    def _run(self, update: UpdateItem, reservation_sid: str) -> tuple[bool, Reservation | None]:
        """Run *update*; return whether its conditions were met, and the current record."""
        key = {"reservation_sid": reservation_sid}
        with translate_errors():
            succeeded, item = update.run(self._client, self._reservations, key)
            return succeeded, to_reservation(item) if item else None


def _require_no_ringing(update: UpdateItem, claim: Claim) -> None:
    """Add conditions that fail if another instruction may call a phone."""
    ringing = {f":{name}": name for name in RINGING}
    update.values |= ringing
    update.conditions += [
        "attribute_not_exists(#instruction_sent) OR #claim_id = :claim_id",
        f"NOT #answer.#instruction IN ({', '.join(ringing)})",
    ]
    if claim.needs_answer:
        # The service answers a fallback request even if the answer can't be recorded. Without a
        # recorded answer, an unrecorded instruction may therefore call a phone.
        update.conditions += ["attribute_exists(#answer)", "attribute_not_exists(#withheld)"]


def _restore_acceptor(update: UpdateItem, acceptor: str | None) -> None:
    """Set the attribute ``acceptor``, or remove it if there is no acceptor."""
    update.set["acceptor"] = acceptor
    if acceptor is None:
        update.remove.append("acceptor")


def _require_transition(
    update: UpdateItem, table: Mapping[Status, Collection[Status]], target: Status
) -> None:
    """Add the condition that *table* allows the record to change to *target*."""
    sources = {f":{status}": status.value for status in Status if target in table[status]}
    update.conditions.append(f"#status IN ({', '.join(sources)})")
    update.values |= sources
