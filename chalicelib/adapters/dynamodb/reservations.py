"""The records, in DynamoDB: every write is conditional, and none reads first.

The conditions are made from the tables MOVES and OBSERVED of `chalicelib.domain.reservations`.
The attribute ``acceptor`` is who is trying to have the Reservation accepted: a claim's owner, or
an answered instruction. Once TaskRouter says accepted, whoever brings that news, it is who did.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from chalicelib.adapters.dynamodb.client import Update, from_item, read_all, to_item, translated
from chalicelib.adapters.dynamodb.items import (
    callback_attributes,
    history_item,
    initial_attributes,
    reservation_of,
    sent_instruction_item,
)
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
    sources,
)

_CLAIM = ("claim_until", "claim_target", "claim_id", "claim_by")

_QUICK = 0.1
"""A callback's second write is begun only if the first took less than this part of its time."""

LAST_SWEEP = "last_sweep"
"""The key in the table `state` of the last sweep's result."""


class DynamoReservationStore:
    """`chalicelib.usecases.ports.Store` over a DynamoDB client.

    Args:
        client: from `chalicelib.adapters.dynamodb.client`.
        reservations_table: the name of the table `reservations`.
        state_table: the name of the table `state`.
        retention_days: how long records are kept.
        callback_seconds: how long recording a callback may take.
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
        self._client = client
        self._reservations = reservations_table
        self._state = state_table
        self._retention_days = retention_days
        self._callback_seconds = callback_seconds

    def record_callback(self, reservation: Reservation, *, due_at: int, now: int) -> dict[str, Any]:
        """Record a callback once, in one write unless the Reservation is already decided.

        Returns:
            The answer that stands: that of *reservation*; or the earlier one, where a callback
            was answered before; or ``{}``, where the Reservation is no longer pending, or
            somebody is deciding it at this moment, or has had an instruction sent.
        """
        started = time.monotonic()
        answer = dict(reservation.answer or {})
        update = Update()
        update.set(answer=answer, **callback_attributes(reservation))
        born = initial_attributes(reservation, due_at=due_at, retention_days=self._retention_days)
        # Only now is the Workflow known, and with it the time-out; since when may be known longer.
        update.set_sum(
            "expires_at",
            "reserved_at",
            born["reserved_at"],
            born.pop("expires_at") - born["reserved_at"],
        )
        if answer:
            update.set(due_at=born.pop("due_at"))
        update.set(acceptor=born.pop("acceptor"))
        update.set_once(**born)
        status = update.name("status")
        update.only_if(f"attribute_not_exists({update.name('answer')})")
        update.only_if(
            f"attribute_not_exists({status}) OR {status} = {update.value(Status.PENDING.value)}"
        )
        update.only_if(self._unclaimed(update, now))
        if answer:
            # An instruction sent over REST is being carried out: a second could ring twice.
            update.only_if(f"attribute_not_exists({update.name('instruction_sent')})")
        recorded, item = self._run(update, reservation.reservation_sid)
        if recorded or "answer" in item:
            return dict(item["answer"])
        try:
            if time.monotonic() - started > self._callback_seconds * _QUICK:
                raise StoreUnavailable("DynamoDB is too slow for a second write; try again.")
            return self._record_late_callback(reservation)
        except StoreUnavailable:
            if item["status"] == Status.PENDING:
                # Who decides it may yet give up, and a repeated callback would be answered anew.
                raise
            # It is recorded, and decided for good: that is what counts.
            return {}

    def _record_late_callback(self, reservation: Reservation) -> dict[str, Any]:
        """Keep what the callback carried; its Reservation is decided, so nothing else changes."""
        update = Update()
        update.set(answer={}, **callback_attributes(reservation))
        update.only_if(f"attribute_not_exists({update.name('answer')})")
        update.only_if(f"attribute_exists({update.name('status')})")
        _, item = self._run(update, reservation.reservation_sid)
        return dict(item.get("answer", {}))

    def record_seen(self, reservation: Reservation, *, due_at: int | None) -> bool:
        """Record a Reservation that no callback told us of, unless there is a record."""
        update = Update()
        update.set(
            **callback_attributes(reservation),
            **initial_attributes(reservation, due_at=due_at, retention_days=self._retention_days),
        )
        update.only_if(f"attribute_not_exists({update.name('reservation_sid')})")
        recorded, _ = self._run(update, reservation.reservation_sid)
        return recorded

    def claim(
        self,
        reservation_sid: str,
        claim: Claim,
        *,
        now: int,
        worker_sid: str | None,
        task_sid: str | None,
    ) -> tuple[bool, Reservation | None]:
        """Claim the right to ask TaskRouter; the sweep looks when the claim lapses."""
        update = Update()
        update.set(
            claim_until=claim.until,
            claim_target=claim.target.value,
            claim_id=claim.claim_id,
            claim_by=claim.by,
            due_at=claim.until,
        )
        if claim.accepts:
            update.set(acceptor=claim.by)
        self._only_in(update, sources(MOVES, claim.target))
        # Our own claim may stand there already: boto3 repeats a write whose answer was lost.
        own = f"{update.name('claim_id')} = {update.value(claim.claim_id)}"
        update.only_if(f"{self._unclaimed(update, now)} OR {own}")
        if claim.sends:
            update.set(instruction_sent=sent_instruction_item(claim.sends))
            sent = update.name("instruction_sent")
            update.only_if(f"attribute_not_exists({sent}) OR {own}")
            answered = f"{update.name('answer')}.{update.name('instruction')}"
            ringing = ", ".join(map(update.value, RINGING))
            update.only_if(f"NOT {answered} IN ({ringing})")
        for attribute, wanted in (("worker_sid", worker_sid), ("task_sid", task_sid)):
            if wanted is not None:
                update.only_if(f"{update.name(attribute)} = {update.value(wanted)}")
        return self._outcome(update, reservation_sid)

    def release(
        self, reservation_sid: str, claim: Claim, *, due_at: int, acceptor: str | None
    ) -> None:
        """Give up a claim, if it still stands: nothing came of it, and nothing was sent.

        The sweep's look is put back to *due_at*; *acceptor* may still get it accepted.
        """
        update = Update()
        if claim.accepts:
            self._hand_back(update, acceptor)
        if claim.sends:
            update.remove("instruction_sent")
        self._give_up(update, reservation_sid, claim, due_at)

    def hand_over(self, reservation_sid: str, claim: Claim, *, due_at: int) -> None:
        """Give up a claim, if it still stands: TaskRouter carries its instruction out by now."""
        self._give_up(Update(), reservation_sid, claim, due_at)

    def _give_up(self, update: Update, reservation_sid: str, claim: Claim, due_at: int) -> None:
        update.set(due_at=due_at)
        update.remove(*_CLAIM)
        update.only_if(f"{update.name('claim_id')} = {update.value(claim.claim_id)}")
        self._run(update, reservation_sid)

    def observe(self, reservation_sid: str, news: StatusUpdate) -> tuple[bool, Reservation | None]:
        """Mirror a status, where OBSERVED allows it; else nothing changes."""
        if news.status is Status.PENDING:
            # Where every record begins: it may only bring the Worker's name.
            return False, self._name_worker(reservation_sid, news.worker_name)
        if news.status is Status.WRAPPING:
            # A claim to complete it outlives this news: its owner may yet crash.
            moved, record = self._observe(reservation_sid, news, claimed=True)
            if moved:
                return moved, record
        return self._observe(reservation_sid, news, claimed=False)

    def _observe(
        self, reservation_sid: str, news: StatusUpdate, *, claimed: bool
    ) -> tuple[bool, Reservation | None]:
        """Mirror a status; *claimed* is for a record with a live claim, which it leaves alone."""
        update = Update()
        update.set(status=news.status.value, worker_name=news.worker_name)
        update.append(
            "history",
            history_item(HistoryEntry(at=news.at, to=news.status, by=news.by, note=news.note)),
        )
        if claimed:
            update.set(open_as=news.status.value)
            update.only_if(f"{update.name('claim_until')} > {update.value(news.at)}")
        elif news.status in OPEN:
            update.set(open_as=news.status.value, due_at=news.next_check_at)
            update.remove("checks", *_CLAIM)
        else:
            update.remove("open_as", "due_at", "checks", *_CLAIM)
        if news.status in ACHIEVED[Status.ACCEPTED]:
            update.set_once(acceptor=news.by)
        self._only_in(update, sources(OBSERVED, news.status))
        return self._outcome(update, reservation_sid)

    def _name_worker(self, reservation_sid: str, worker_name: str | None) -> Reservation | None:
        """Add the Worker's name to a record that lacks it; return the record."""
        if worker_name is None:
            return self.get(reservation_sid)
        update = Update()
        update.set(worker_name=worker_name)
        update.only_if(f"attribute_exists({update.name('status')})")
        update.only_if(f"attribute_not_exists({update.name('worker_name')})")
        _, record = self._outcome(update, reservation_sid)
        return record

    def reschedule_check(
        self, due: DueReservation, *, at: int, checks: int, acceptor: str | None = None
    ) -> None:
        """Put off the sweep's next look, unless something has happened since it read *due*."""
        update = Update()
        update.set(due_at=at, checks=checks)
        update.remove(*_CLAIM)
        if due.status is Status.PENDING and due.is_claimed:
            # Whose claim has lapsed has not had it accepted. An instruction may yet.
            self._hand_back(update, acceptor)
        update.only_if(f"{update.name('open_as')} = {update.value(due.status.value)}")
        seen = update.value(due.due_at)
        update.only_if(f"{update.name('due_at')} = {seen}")
        self._run(update, due.reservation_sid)

    def get(self, reservation_sid: str) -> Reservation | None:
        """Read a record, consistently."""
        with translated():
            answer = self._client.get_item(
                TableName=self._reservations,
                Key=to_item({"reservation_sid": reservation_sid}),
                ConsistentRead=True,
            )
        return reservation_of(from_item(answer["Item"])) if "Item" in answer else None

    def due(self, status: Status, *, now: int) -> Iterator[DueReservation]:
        """Go through what is due in an open status, the longest overdue first."""
        request = {
            "TableName": self._reservations,
            "IndexName": "due",
            "KeyConditionExpression": "open_as = :status AND due_at <= :now",
            "ExpressionAttributeValues": to_item({":status": status.value, ":now": now}),
        }
        while True:
            with translated():
                answer = self._client.query(**request)
            for item in map(from_item, answer["Items"]):
                yield DueReservation(
                    reservation_sid=item["reservation_sid"],
                    task_sid=item["task_sid"],
                    worker_sid=item["worker_sid"],
                    status=status,
                    due_at=int(item["due_at"]),
                    reserved_at=int(item["reserved_at"]),
                    expires_at=int(item["expires_at"]),
                    checks=int(item.get("checks", 0)),
                    is_claimed="claim_until" in item,
                )
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def save_sweep(self, result: Mapping[str, Any]) -> None:
        """Keep the last sweep's result."""
        with translated():
            self._client.put_item(TableName=self._state, Item=to_item({"id": LAST_SWEEP, **result}))

    def statuses(self, reservation_sids: Collection[str]) -> dict[str, Status]:
        """Read the statuses of those that are recorded; an older one may be told for a moment."""
        items = read_all(
            self._client,
            self._reservations,
            [{"reservation_sid": sid} for sid in reservation_sids],
            ProjectionExpression="reservation_sid, #status",
            ExpressionAttributeNames={"#status": "status"},
        )
        return {item["reservation_sid"]: Status(item["status"]) for item in items}

    def begin(self, job: str, *, now: int, every_ms: int) -> tuple[bool, int | None]:
        """Begin a job that is to be done so often, unless somebody has begun it since.

        Args:
            job: its key in the table `state`.
            now: epoch ms.
            every_ms: how long after a beginning the next may be.

        Returns:
            Whether it has begun, and the moment (epoch ms) up to which the job is done.
        """
        update = Update()
        update.set(at=now)
        at = update.name("at")
        update.only_if(f"attribute_not_exists({at}) OR {at} <= {update.value(now - every_ms)}")
        begun, item = update.run(self._client, self._state, {"id": job})
        return begun, int(item["done_until"]) if "done_until" in item else None

    def has_done(self, job: str, *, until: int) -> None:
        """Keep the moment (epoch ms) up to which a job is done; an earlier one changes nothing."""
        update = Update()
        update.set(done_until=until)
        done_until = update.name("done_until")
        update.only_if(
            f"attribute_not_exists({done_until}) OR {done_until} < {update.value(until)}"
        )
        update.run(self._client, self._state, {"id": job})

    def erase(self, reservation_sid: str) -> bool:
        """Delete one record, on request; tell whether there was one."""
        with translated():
            answer = self._client.delete_item(
                TableName=self._reservations,
                Key=to_item({"reservation_sid": reservation_sid}),
                ReturnValues="ALL_OLD",
            )
        return "Attributes" in answer

    @staticmethod
    def _hand_back(update: Update, acceptor: str | None) -> None:
        if acceptor is None:
            update.remove("acceptor")
        else:
            update.set(acceptor=acceptor)

    @staticmethod
    def _unclaimed(update: Update, now: int) -> str:
        until = update.name("claim_until")
        return f"attribute_not_exists({until}) OR {until} <= {update.value(now)}"

    @staticmethod
    def _only_in(update: Update, statuses: list[Status]) -> None:
        wanted = ", ".join(update.value(status.value) for status in statuses)
        update.only_if(f"{update.name('status')} IN ({wanted})")

    def _run(self, update: Update, reservation_sid: str) -> tuple[bool, dict[str, Any]]:
        return update.run(self._client, self._reservations, {"reservation_sid": reservation_sid})

    def _outcome(self, update: Update, reservation_sid: str) -> tuple[bool, Reservation | None]:
        happened, item = self._run(update, reservation_sid)
        return happened, reservation_of(item) if item else None
